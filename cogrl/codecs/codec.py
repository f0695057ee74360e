"""The interface of codecs: waveforms to frames of discrete units, and back."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor, nn

from cogrl.hash64 import hash64
from cogrl.types import Waveform
from cogrl.types.speech import UnitSpace


class Codec(nn.Module, ABC):
    """A frozen codec. Clips are mono float32 at `sampling_rate` and are coded one by one: company changes nothing.

    A frame is `codebooks` units below `size`; `samples_a_frame` are what it lasts.
    """

    kind: str
    sampling_rate: int
    codebooks: int
    size: int
    samples_a_frame: int

    @abstractmethod
    def encode_one(self, waveform: Waveform) -> Int[Tensor, "f k"]:
        """The units of one clip."""

    @abstractmethod
    def decode_one(self, units: Int[Tensor, "f k"]) -> Waveform:
        """What these units sound like: `f * samples_a_frame` samples."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write `config.json` and `model.safetensors`, which `read_codec` takes."""

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sampling_rate / self.samples_a_frame

    @property
    def space(self) -> UnitSpace:
        """The units that there are, with the fingerprint of these weights."""
        return UnitSpace(self.fingerprint, self.codebooks, self.size, self.frame_rate)

    @cached_property
    def fingerprint(self) -> str:
        """The class, the number of codebooks and a hash of the weights: equal where units mean the same.

        Worked out once, as Mimi's weights take seconds: whoever changes weights deletes it.
        """
        weights = sorted(self.state_dict().items())
        content = b"".join(name.encode() + value.cpu().contiguous().numpy().tobytes() for name, value in weights)
        return f"{self.kind}-{self.codebooks}x{self.size}-{hash64(content):016x}"

    @torch.no_grad()
    def encode(self, waveforms: Sequence[Waveform], sampling_rate: int) -> list[Int[Tensor, "_ k"]]:
        """The units of each clip. Raises ValueError for another sampling rate and for a clip shorter than a frame."""
        if sampling_rate != self.sampling_rate:
            raise ValueError(
                f"the clips are sampled at {sampling_rate} Hz, codec {self.kind} takes {self.sampling_rate} Hz; "
                "resample them first (load_audio does with convert=True)"
            )
        short = [len(waveform) for waveform in waveforms if len(waveform) < self.samples_a_frame]
        if short:
            raise ValueError(
                f"a clip of {short[0]} samples is shorter than a frame of codec {self.kind} "
                f"({self.samples_a_frame} samples): an empty reply; leave it out"
            )
        with torch.autocast(self.device.type, enabled=False):
            return [self.encode_one(waveform) for waveform in waveforms]

    @torch.no_grad()
    def decode(self, units: Sequence[Int[Tensor, "_ k"]], codec: str) -> list[Waveform]:
        """What the units of each clip sound like; `codec` is the fingerprint of the codec that they are of.

        Raises ValueError for units of another codec, out of range, or none at all.
        """
        for each in units:
            self.space.checked(each, codec)
        with torch.autocast(self.device.type, enabled=False):
            return [self.decode_one(each.to(self.device)) for each in units]

    @property
    def device(self) -> torch.device:
        return next(iter(self.state_dict().values())).device


def checked_codebooks(asked: int | None, held: int, folder: Path) -> int:
    """How many codebooks are used. Raises ValueError for more than there are, or none."""
    if asked is not None and not 1 <= asked <= held:
        raise ValueError(f"codebooks={asked}: the codec in {folder} has {held}; use 1 to {held}")
    return held if asked is None else asked
