"""Qwen2-Audio: log-mel frames -> Whisper-style encoder (one token per 40 ms) -> Qwen2. (arXiv:2407.10759)"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor
from transformers.masking_utils import create_bidirectional_mask
from transformers.utils import is_flash_attn_2_available

from cogrl.models.audio_lm import AudioLM
from cogrl.models.emotion import EmotionModule, EmotionSettings, refuse_silent_loss
from cogrl.models.folder import refuse_another_family
from cogrl.models.signals import float32_signals
from cogrl.types import Waveform

MODEL_TYPES = ("qwen2_audio",)


class Qwen2Audio(AudioLM):
    """`Qwen2AudioForConditionalGeneration` of any size, from a local folder.

    Args:
        emotion: adds the embedding of an emotion encoder to every audio frame; see `cogrl.models.emotion`.
    """

    model_types, model_class = MODEL_TYPES, Qwen2AudioForConditionalGeneration

    def __init__(self, path: str, emotion: EmotionSettings | None = None, **shared: Any) -> None:
        super().__init__(path, **shared)
        self.emotion = None if emotion is None else EmotionModule(emotion)

    def read_folder(self, path: str, dtype: torch.dtype) -> tuple[nn.Module, Any]:
        refuse_another_family(path, MODEL_TYPES)
        if self.emotion is None:
            refuse_silent_loss(path)
        attention = "flash_attention_2" if is_flash_attn_2_available() else "sdpa"
        model = Qwen2AudioForConditionalGeneration.from_pretrained(path, dtype=dtype, attn_implementation=attention)
        model.model.audio_tower.embed_positions.requires_grad_(False)  # sinusoids, never trained
        processor = Qwen2AudioProcessor.from_pretrained(path)
        if self.emotion is not None:
            width, sampling_rate = model.config.text_config.hidden_size, processor.feature_extractor.sampling_rate
            self.emotion.load(path, width, sampling_rate, dtype)
        return model, processor

    def save(self, path: str | Path) -> None:
        super().save(path)
        if self.emotion is not None:
            self.emotion.save(path)

    def audio_tensors(self, waveforms: Sequence[Waveform]) -> Mapping[str, Tensor]:
        with float32_signals():
            features = self.processor.feature_extractor(
                list(waveforms),
                sampling_rate=self.sampling_rate,
                padding="max_length",
                truncation=False,
                return_attention_mask=True,
                return_tensors="pt",
            )
        tensors = {"input_features": features.input_features, "feature_attention_mask": features.attention_mask}
        return tensors if self.emotion is None else tensors | {"emotion": self.emotion.embedding(waveforms)}

    def audio_token_counts(self, samples: Int[Tensor, " c"]) -> Int[Tensor, " c"]:
        mels = -(-samples // self.processor.feature_extractor.hop_length)  # the last one may be part silence
        return self.audio_tower._get_feat_extract_output_lengths(mels)[1]

    def audio_embeds(self, audio: Mapping[str, Tensor]) -> tuple[Float[Tensor, "c f d"], Int[Tensor, " c"]]:
        tower = self.audio_tower
        encoder_frames, token_counts = tower._get_feat_extract_output_lengths(audio["feature_attention_mask"].sum(-1))
        positions = torch.arange(tower.config.max_source_positions, device=encoder_frames.device)
        features = audio["input_features"].to(tower.conv1.weight.dtype)
        mask = create_bidirectional_mask(
            config=tower.config,
            inputs_embeds=features.new_zeros(len(features), len(positions), 1),
            attention_mask=(positions < encoder_frames[:, None]).long(),
        )
        frames = tower(features, attention_mask=mask).last_hidden_state
        embeds = self.model.model.multi_modal_projector(frames)
        return embeds if self.emotion is None else embeds + self.emotion(audio["emotion"]), token_counts
