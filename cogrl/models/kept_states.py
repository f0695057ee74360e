"""The states of a frozen audio encoder, kept by the clips they are of: each clip is encoded once, not once a batch."""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cogrl.hash64 import hash64
from cogrl.types import Waveform

_MEGABYTE = 2**20


class KeptStates:
    """What was encoded last, up to `most_mb` megabytes, on the device that made it.

    A clip is always encoded alone: its states do not depend on the batch in which it came first, so that a run that is
    resumed, and has kept nothing, goes on with the same ones.

    Raises ValueError unless `most_mb` is positive.
    """

    def __init__(self, most_mb: float) -> None:
        if not most_mb > 0:
            raise ValueError(f"keep_states_mb={most_mb!r} megabytes; give a positive number, or leave it out")
        self.most_bytes, self.bytes = int(most_mb * _MEGABYTE), 0
        self.kept: OrderedDict[int, Tensor] = OrderedDict()

    @staticmethod
    def keys(waveforms: Sequence[Waveform]) -> Int[Tensor, " c"]:
        """A 64-bit hash of each clip's samples."""
        found = np.array([hash64(waveform.tobytes()) for waveform in waveforms], dtype=np.uint64)
        return torch.from_numpy(found.view(np.int64))

    def of(self, keys: Int[Tensor, " c"], encode: Callable[[int], Float[Tensor, "f d"]]) -> list[Float[Tensor, "f d"]]:
        """The states of the clips with these keys; `encode(i)` makes those of the i-th where none are kept.

        Raises ValueError where `encode` gives a gradient to follow: what learns has to be run.
        """
        found = []
        for place, key in enumerate(keys.tolist()):
            if key in self.kept:
                self.kept.move_to_end(key)
                found.append(self.kept[key])
            else:
                found.append(self._encoded(encode, place))
                self._keep(key, found[-1])
        return found

    def _encoded(self, encode: Callable[[int], Float[Tensor, "f d"]], place: int) -> Float[Tensor, "f d"]:
        with torch.enable_grad():
            states = encode(place)
        if states.requires_grad:
            raise ValueError(
                "policy.keep_states_mb keeps what a frozen audio encoder makes of a clip, but this one trains; set "
                "policy.train_audio_tower: false, or leave keep_states_mb out"
            )
        return states

    def _keep(self, key: int, states: Tensor) -> None:
        self.kept[key] = states
        self.bytes += states.nbytes
        while self.bytes > self.most_bytes:
            self.bytes -= self.kept.popitem(last=False)[1].nbytes
