"""The interface of emotion encoders: whole clips in; one embedding and valence, arousal, dominance for each out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cogrl.types import DIMENSIONS, Waveform


@dataclass(frozen=True)
class DimensionLayout:
    """The order and the scale of the three dimensions in an encoder or corpus of others.

    Args:
        order: the names of `cogrl.types.DIMENSIONS` as they stand there.
        low, high: the ends of their scale; cogrl's are -1 and 1.

    Raises:
        ValueError: `order` does not name each dimension once, or the scale has no width.
    """

    order: tuple[str, ...]
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if sorted(self.order) != sorted(DIMENSIONS):
            raise ValueError(f"order={self.order} must name each of {', '.join(DIMENSIONS)} once")
        if not self.low < self.high:
            raise ValueError(f"low={self.low} must be less than high={self.high}")

    def to_ours(self, theirs: Float[Tensor, "... 3"]) -> Float[Tensor, "... 3"]:
        """Valence, arousal, dominance on [-1, 1]; values beyond the scale stay beyond it."""
        ours = theirs[..., [self.order.index(name) for name in DIMENSIONS]]
        return 2 * (ours - self.low) / (self.high - self.low) - 1

    def from_ours(self, ours: Float[Tensor, "... 3"]) -> Float[Tensor, "... 3"]:
        """The inverse of `to_ours`."""
        theirs = (ours + 1) / 2 * (self.high - self.low) + self.low
        return theirs[..., [DIMENSIONS.index(name) for name in self.order]]


AUDEERING = DimensionLayout(("arousal", "dominance", "valence"))
"""The outputs of wav2vec2-large-robust-12-ft-emotion-msp-dim: A-D-V, about 0 to 1."""
RE_LLM = DimensionLayout(("arousal", "valence", "dominance"))
"""The regression targets of RE-LLM's loss `input_er_avd`: A-V-D, 0 to 1. (arXiv:2602.10716)"""


class EmotionEncoder(nn.Module, ABC):
    """An encoder of whole clips. In a policy it is frozen, and only its embedding is used, not the dimensions.

    `width` is the size of the embedding; clips are mono float32 at `sampling_rate`.
    """

    width: int
    sampling_rate: int

    @abstractmethod
    def forward(self, waveforms: Sequence[Waveform]) -> tuple[Float[Tensor, "c e"], Float[Tensor, "c 3"]]:
        """The hidden embedding and (valence, arousal, dominance) in [-1, 1] of each clip, as if it were alone."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write `config.json` and `model.safetensors`, which `read` of the same class takes."""

    @classmethod
    @abstractmethod
    def read(cls, folder: Path) -> "EmotionEncoder":
        """The encoder of a folder, in float32."""


def real_frames(frames: int, lengths: Tensor) -> Tensor:
    """True on each clip's own frames: (c, frames)."""
    return torch.arange(frames, device=lengths.device) < lengths[:, None]
