"""Qwen2.5-Omni's thinker: log-mel frames -> encoder of 2 s blocks (one token per 40 ms) -> Qwen2.5. (arXiv:2503.20215)

Positions have three axes there (time, height, width). Audio and text without pictures go by one place a token on all
three, which is what a plain position means to the decoder; so prompts are packed and sampled as for any other family.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import Qwen2_5OmniThinkerForConditionalGeneration

from cogrl.models.audio_lm import AudioLM
from cogrl.models.emotion import refuse_silent_loss
from cogrl.models.folder import refuse_another_family
from cogrl.models.front_end import AudioFrontEnd
from cogrl.models.pretrained import read_weights
from cogrl.models.whisper_tower import log_mels
from cogrl.types import Waveform

MODEL_TYPES = ("qwen2_5_omni_thinker", "qwen2_5_omni")


class Qwen25Omni(AudioLM):
    """The thinker of any size, from its own folder or out of a whole Qwen2.5-Omni: talker and vocoder are not read.

    The vision tower stays frozen: it is never run here, and kept so that an export is the whole thinker. The projector
    is the last layer of the audio tower, so `train_audio_tower: false` freezes both, with adapters or without.
    """

    model_types, model_class = MODEL_TYPES, Qwen2_5OmniThinkerForConditionalGeneration

    def read_folder(self, path: str, dtype: torch.dtype) -> tuple[nn.Module, Any]:
        refuse_another_family(path, MODEL_TYPES)
        refuse_silent_loss(path)
        model = read_weights(path, self.model_class, dtype, "the thinker")
        model.model.visual.requires_grad_(False)
        model.model.audio_tower.audio_bos_eos_token.requires_grad_(False)  # no forward uses it
        return model, AudioFrontEnd.from_pretrained(path)

    @property
    def audio_modules(self) -> tuple[nn.Module, ...]:
        return (self.audio_tower,)

    def audio_tensors(self, waveforms: Sequence[Waveform]) -> Mapping[str, Tensor]:
        return log_mels(self.processor.feature_extractor, waveforms)

    def audio_token_counts(self, samples: Int[Tensor, " c"]) -> Int[Tensor, " c"]:
        mels = -(-samples // self.processor.feature_extractor.hop_length)  # the last one may be part silence
        return self.audio_tower._get_feat_extract_output_lengths(mels)[1]

    def audio_embeds(self, audio: Mapping[str, Tensor]) -> tuple[Float[Tensor, "c f d"], Int[Tensor, " c"]]:
        counts = self.audio_tower._get_feat_extract_output_lengths(audio["feature_attention_mask"].sum(-1))[1]
        frames = self.model.model.get_audio_features(**audio).last_hidden_state
        return pad_sequence(frames.split(counts.tolist()), batch_first=True), counts
