"""Qwen2.5-Omni: log-mels -> encoder of 2 s blocks (one token per 40 ms) -> Qwen2.5. (arXiv:2503.20215)"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import Qwen2_5OmniThinkerForConditionalGeneration

from cogrl.models.emotion import EmotionModule, EmotionSettings
from cogrl.models.thinker import Thinker
from cogrl.types import Waveform


class Qwen25Omni(Thinker):
    """The thinker of Qwen2.5-Omni; see `Thinker`.

    Args:
        emotion: adds the embedding of an emotion encoder to every audio frame; see `cogrl.models.emotion`.
    """

    model_types = ("qwen2_5_omni_thinker", "qwen2_5_omni")
    model_class = Qwen2_5OmniThinkerForConditionalGeneration

    def __init__(self, path: str, emotion: EmotionSettings | None = None, **shared: Any) -> None:
        super().__init__(path, **shared)
        self.emotion = None if emotion is None else EmotionModule(emotion)

    def read_folder(self, path: str, dtype: torch.dtype) -> tuple[nn.Module, Any]:
        model, front_end = super().read_folder(path, dtype)
        model.model.audio_tower.audio_bos_eos_token.requires_grad_(False)  # no forward uses it
        if self.emotion is not None:
            width = model.config.get_text_config().hidden_size
            self.emotion.load(path, width, front_end.feature_extractor.sampling_rate, dtype)
        return model, front_end

    def save(self, path: str | Path) -> None:
        super().save(path)
        if self.emotion is not None:
            self.emotion.save(path)

    def audio_tensors(self, waveforms: Sequence[Waveform]) -> Mapping[str, Tensor]:
        tensors = super().audio_tensors(waveforms)
        return tensors if self.emotion is None else dict(tensors) | {"emotion": self.emotion.embedding(waveforms)}

    def audio_token_counts(self, samples: Int[Tensor, " c"]) -> Int[Tensor, " c"]:
        mels = -(-samples // self.processor.feature_extractor.hop_length)  # the last one may be part silence
        return self.audio_tower._get_feat_extract_output_lengths(mels)[1]

    def audio_embeds(self, audio: Mapping[str, Tensor]) -> tuple[Float[Tensor, "c f d"], Int[Tensor, " c"]]:
        counts = self.audio_tower._get_feat_extract_output_lengths(audio["feature_attention_mask"].sum(-1))[1]
        mels = {name: value for name, value in audio.items() if name != "emotion"}
        frames = self.model.model.get_audio_features(**mels).last_hidden_state
        embeds = pad_sequence(frames.split(counts.tolist()), batch_first=True)
        return embeds if self.emotion is None else embeds + self.emotion(audio["emotion"]), counts
