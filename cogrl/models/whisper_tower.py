"""A Whisper-style encoder over clips as long as they are, in place of its whole window: the same frames, for less.

The values are those of the window. Behind a clip the window is silence, which attention does not look at; all that
counts of it are the two mels that the convolutions of the last frame see.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import dropout, gelu
from transformers import PreTrainedModel, Qwen2AudioEncoder, WhisperFeatureExtractor
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_outputs import BaseModelOutput

from cogrl.models.signals import float32_signals
from cogrl.types import Waveform


def log_mels(extractor: WhisperFeatureExtractor, waveforms: Sequence[Waveform]) -> Mapping[str, Tensor]:
    """Log-mels as long as the longest clip, not the window: the values are the same.

    A Fourier window of silence follows the longest clip too, so that no frame depends on what else is in the batch.
    """
    longest = max(len(waveform) for waveform in waveforms)
    with float32_signals():
        features = extractor(
            list(waveforms),
            sampling_rate=extractor.sampling_rate,
            padding="max_length",
            max_length=min(longest + extractor.n_fft, extractor.n_samples),
            pad_to_multiple_of=extractor.hop_length,
            truncation=False,
            return_attention_mask=True,
            return_tensors="pt",
        )
    return {"input_features": features.input_features, "feature_attention_mask": features.attention_mask}


class OwnLength:
    """Makes of a Whisper-style encoder with average pooling one that takes log-mels shorter than its window, too.

    Its class is exchanged for one that inherits from this and from the encoder's own: the weights keep their names.
    """

    def forward(
        self, input_features: Float[Tensor, "c m n"], attention_mask: Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutput:
        """The states of each clip, one for two frames behind the convolutions."""
        features = input_features.to(self.conv1.weight.dtype)
        states = gelu(self.conv2(gelu(self.conv1(features)))).mT
        states = states + self.embed_positions(torch.arange(states.shape[1], device=states.device))
        states = dropout(states, self.dropout, self.training)
        for layer in self.layers:
            if not (self.training and self.layerdrop > 0 and float(torch.rand(())) < self.layerdrop):
                states = layer(states, attention_mask, **kwargs)
        return BaseModelOutput(last_hidden_state=self.layer_norm(self.avg_pooler(states.mT).mT))

    def encoded(self, features: Float[Tensor, "c m n"], frames: Int[Tensor, " c"]) -> Float[Tensor, "c f d"]:
        """The states of clips of which so many `frames` behind the convolutions are real; see `log_mels`."""
        return self(features, attention_mask=self.mask_of(features, frames)).last_hidden_state

    def mask_of(self, features: Float[Tensor, "c m n"], frames: Int[Tensor, " c"]) -> Tensor | None:
        """Lets no frame attend to those behind its own clip."""
        positions = torch.arange((features.shape[-1] + 1) // 2, device=frames.device)
        blank = features.new_zeros(len(features), len(positions), 1, dtype=self.conv1.weight.dtype)
        real = (positions < frames[:, None]).long()
        return create_bidirectional_mask(config=self.config, inputs_embeds=blank, attention_mask=real)


class OwnLengthEncoder(OwnLength, Qwen2AudioEncoder):
    """Qwen2-Audio's."""


def own_length(model: PreTrainedModel, kind: type[OwnLength] = OwnLengthEncoder) -> PreTrainedModel:
    """The model, whose audio tower is of that `kind` from now on: the same weights under the same names."""
    model.model.audio_tower.__class__ = kind
    return model
