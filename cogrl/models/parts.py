"""The parts of a Hugging Face audio language model by the names that the rest of cogrl uses for them."""

from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cogrl.audio import audio_info
from cogrl.models.audio_window import AudioWindow
from cogrl.models.chat_prompts import AudioMarkers, audio_markers
from cogrl.models.end_tokens import EndTokens


class Head(NamedTuple):
    """The output layer: logits are `hidden @ weight.T + bias`."""

    weight: Float[Tensor, "v d"]
    bias: Float[Tensor, " v"]


class Parts(nn.Module):
    """`model` and `processor` are those of the family, None until the weights are read; `ends` the end tokens.

    `window` is what the family hears; `markers` are the audio markers, once they were asked for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.model: nn.Module | None = None
        self.processor: Any = None
        self.ends: EndTokens | None = None
        self.window: AudioWindow | None = None
        self.markers: AudioMarkers | None = None

    @property
    def tokenizer(self):
        return self.processor.tokenizer

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The tokens that end an answer, each of them."""
        return self.ends.ids

    @property
    def audio_token_id(self) -> int:
        """The placeholder token, whose embedding is replaced by a frame of audio."""
        return self.model.config.audio_token_id

    @property
    def audio_markers(self) -> AudioMarkers:
        """The tokens that stand right before and right behind the placeholders of a clip."""
        if self.markers is None:
            self.markers = audio_markers(self.processor, self.audio_token_id)
        return self.markers

    @property
    def sampling_rate(self) -> int:
        return self.processor.feature_extractor.sampling_rate

    @property
    def max_audio_s(self) -> float:
        """The longest clip that is heard whole, in seconds."""
        return self.window.longest_s

    def audio_length_error(self, seconds: float) -> str | None:
        """Why a clip of this length does not fit into the audio window; None when it does."""
        return self.window.length_error(seconds)

    def audio_file_error(self, path: Path) -> str | None:
        """The same for an audio file, of which only the last sample is decoded."""
        return self.audio_length_error(audio_info(path).duration_s)

    @property
    def max_positions(self) -> int:
        """How many tokens, prompt and answer together, the language model was made for."""
        return self.model.config.get_text_config().max_position_embeddings

    @property
    def width(self) -> int:
        """The size of a hidden state of the language model."""
        return self.model.config.get_text_config().hidden_size

    @property
    def vocab_size(self) -> int:
        """How many tokens have a logit. The weights do not say: they may be a shard."""
        return self.model.config.get_text_config().vocab_size

    @property
    def audio_tower(self) -> nn.Module:
        """The audio encoder."""
        return self.model.model.audio_tower

    @property
    def audio_modules(self) -> tuple[nn.Module, ...]:
        """All that lies between the waveform and the language model: the encoder and what projects its frames."""
        return self.audio_tower, self.model.model.multi_modal_projector

    @property
    def decoder(self) -> nn.Module:
        """The language model without its output layer: embeddings in, hidden states out."""
        return self.model.model.language_model

    @property
    def embed(self) -> nn.Module:
        """Token ids to embeddings."""
        return self.model.get_input_embeddings()

    @property
    def lm_head_weight(self) -> Float[Tensor, "v d"]:
        return self.model.lm_head.weight

    @property
    def lm_head_bias(self) -> Float[Tensor, " v"]:
        """Bars the audio placeholder and the markers around a clip from being generated: only a clip has them.

        Sampling and scoring both add it, so that they use the same distribution. Finite, so that 0 * log 0 = 0.
        """
        bias = torch.zeros(self.vocab_size, device=self.device)
        for barred in (self.audio_token_id, *chain(*self.audio_markers)):
            bias[barred] = -1e4
        return bias

    @property
    def head(self) -> Head:
        """The output layer with its bias."""
        return Head(self.lm_head_weight, self.lm_head_bias)

    @property
    def device(self) -> torch.device:
        return self.lm_head_weight.device
