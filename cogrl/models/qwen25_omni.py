"""Qwen2.5-Omni: log-mels -> encoder of 2 s blocks (one token per 40 ms) -> Qwen2.5. (arXiv:2503.20215)"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import Qwen2_5OmniThinkerForConditionalGeneration

from cogrl.models.thinker import Thinker


class Qwen25Omni(Thinker):
    """The thinker of Qwen2.5-Omni; see `Thinker`."""

    model_types = ("qwen2_5_omni_thinker", "qwen2_5_omni")
    model_class = Qwen2_5OmniThinkerForConditionalGeneration

    def read_folder(self, path: str, dtype: torch.dtype) -> tuple[nn.Module, Any]:
        model, front_end = super().read_folder(path, dtype)
        model.model.audio_tower.audio_bos_eos_token.requires_grad_(False)  # no forward uses it
        return model, front_end

    def audio_token_counts(self, samples: Int[Tensor, " c"]) -> Int[Tensor, " c"]:
        mels = -(-samples // self.processor.feature_extractor.hop_length)  # the last one may be part silence
        return self.audio_tower._get_feat_extract_output_lengths(mels)[1]

    def audio_embeds(self, audio: Mapping[str, Tensor]) -> tuple[Float[Tensor, "c f d"], Int[Tensor, " c"]]:
        counts = self.audio_tower._get_feat_extract_output_lengths(audio["feature_attention_mask"].sum(-1))[1]
        frames = self.model.model.get_audio_features(**audio).last_hidden_state
        return pad_sequence(frames.split(counts.tolist()), batch_first=True), counts
