"""Qwen2-Audio: log-mel frames -> Whisper-style encoder (one token per 40 ms) -> Qwen2. (arXiv:2407.10759)"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor
from transformers.masking_utils import create_bidirectional_mask
from transformers.utils import is_flash_attn_2_available

from cogrl.models.audio_lm import AudioLM
from cogrl.types import Waveform


@contextmanager
def float32_signals() -> Iterator[None]:
    """Signal processing in float32 whatever the precision of training: half a mel is another sound."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.autocast("cpu", enabled=False):
            yield
    finally:
        torch.set_default_dtype(default)


class Qwen2Audio(AudioLM):
    """`Qwen2AudioForConditionalGeneration` of any size, from a local folder."""

    def read_folder(self, path: str, dtype: torch.dtype) -> tuple[nn.Module, Any]:
        attention = "flash_attention_2" if is_flash_attn_2_available() else "sdpa"
        model = Qwen2AudioForConditionalGeneration.from_pretrained(path, dtype=dtype, attn_implementation=attention)
        model.model.audio_tower.embed_positions.requires_grad_(False)  # sinusoids, never trained
        return model, Qwen2AudioProcessor.from_pretrained(path)

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
        return {"input_features": features.input_features, "feature_attention_mask": features.attention_mask}

    def audio_token_counts(self, audio: Mapping[str, Tensor]) -> Int[Tensor, " c"]:
        frames = audio["feature_attention_mask"].sum(-1)
        return self.audio_tower._get_feat_extract_output_lengths(frames)[1]

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
        return self.model.model.multi_modal_projector(frames), token_counts
