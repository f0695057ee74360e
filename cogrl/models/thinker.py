"""What the thinkers of Qwen's Omni models share: a vision tower that is not run, and a front end of audio and text.

Positions have three axes there (time, height, width). Audio and text without pictures go by one place a token on all
three, which is what a plain position means to the decoder; so prompts are packed and sampled as for any other family.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cogrl.models.audio_lm import AudioLM
from cogrl.models.emotion import refuse_silent_loss
from cogrl.models.folder import refuse_another_family
from cogrl.models.front_end import AudioFrontEnd
from cogrl.models.whisper_tower import log_mels
from cogrl.types import Waveform


class Thinker(AudioLM):
    """A thinker of any size, from its own folder or out of a whole Omni: talker and vocoder are not read.

    The vision tower stays frozen: it is never run here, and kept so that an export is the whole thinker. The projector
    is the last part of the audio tower, so `train_audio_tower: false` freezes both, with adapters or without.
    """

    def read_folder(self, path: str, dtype: torch.dtype) -> tuple[nn.Module, Any]:
        refuse_another_family(path, self.model_types)
        if getattr(self, "emotion", None) is None:
            refuse_silent_loss(path)
        model = self.read_weights(self.model_class, dtype, "the thinker")
        model.model.visual.requires_grad_(False)
        return model, AudioFrontEnd.from_pretrained(path)

    @property
    def audio_modules(self) -> tuple[nn.Module, ...]:
        return (self.audio_tower,)

    def audio_tensors(self, waveforms: Sequence[Waveform]) -> Mapping[str, Tensor]:
        return log_mels(self.processor.feature_extractor, waveforms)
