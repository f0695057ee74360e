"""Speech as units of a codec: what a reply sounds like, in whole numbers, and which numbers there are."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cogrl.types.inputs import Waveform


@dataclass(frozen=True)
class UnitSpace:
    """The units of one codec: `codebooks` numbers below `size` for each of `frame_rate` frames a second.

    `codec` is its fingerprint: units mean nothing to another codec, even to the same class with other weights.
    """

    codec: str
    codebooks: int
    size: int
    frame_rate: float

    def error(self, units: Sequence[Sequence[int]], codec: str, budget: int | None = None) -> str | None:
        """Why these frames of units, made by `codec`, are of no use here, and what to do; None when they are.

        `budget` is how many frames there is room for.
        """
        if codec != self.codec:
            return (
                f"the units are of codec {codec!r}, these weights speak in units of {self.codec!r}; encode the replies "
                "with that codec: cogrl build speech-units --codec"
            )
        if len(units) == 0:
            return "the reply has no units: it is empty; synthesise it, or leave the line out"
        if budget is not None and len(units) > budget:
            return (
                f"the reply lasts {len(units)} frames ({len(units) / self.frame_rate:.1f} s), at most {budget} are "
                f"spoken ({budget / self.frame_rate:.1f} s); raise max_frames or shorten the reply"
            )
        for frame, row in enumerate(units):
            if len(row) != self.codebooks:
                return f"frame {frame} has {len(row)} units, the codec {self.codebooks} codebooks; encode it again"
            wrong = next((unit for unit in row if not 0 <= unit < self.size), None)
            if wrong is not None:
                return f"frame {frame} holds unit {wrong}; those of the codec are 0 to {self.size - 1}; encode it again"
        return None

    def checked(self, units: Int[Tensor, "f k"], codec: str, budget: int | None = None) -> Int[Tensor, "f k"]:
        """The units as they are. Raises ValueError with what `error` says."""
        message = self.error(units.tolist(), codec, budget)
        if message:
            raise ValueError(message)
        return units


@dataclass(frozen=True, eq=False)
class Speech:
    """What a policy has spoken: the frames of units that are listened to, and all that was drawn for them.

    `drawn` holds every unit of every step, the end among them, with its log-probability (0 where it was no choice).
    `waveform` is what the codec makes of the frames, at `sampling_rate`; None where there are none. `finished` says
    whether the policy ended by itself, and not because of the unit budget.
    """

    units: Int[Tensor, "f k"]
    logprobs: Float[Tensor, "g h"]
    drawn: Int[Tensor, "g h"]
    finished: bool
    waveform: Waveform | None = None
    sampling_rate: int = 0


def stacked_units(units: Sequence[Sequence[Sequence[int]]], fill: int) -> Int[Tensor, "b f k"]:
    """Streams of different lengths side by side, right-padded with `fill`."""
    longest, codebooks = max(map(len, units)), len(units[0][0])
    out = torch.full((len(units), longest, codebooks), fill)
    for row, frames in zip(out, units, strict=True):
        row[: len(frames)] = torch.tensor(frames)
    return out
