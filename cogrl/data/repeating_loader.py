"""A loader that hands out each batch several times in a row and loads it once."""

from collections.abc import Iterator
from itertools import repeat
from typing import Any

from cogrl.data.signal_safe_loader import SignalSafeLoader


class RepeatingLoader(SignalSafeLoader):
    """The batches of a `SignalSafeLoader`, each `repeats` times in a row: once for every micro-batch of a rollout.

    A repeated batch is the same object: its audio is neither decoded nor sent from a worker again.
    """

    def __init__(self, *args: Any, repeats: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.repeats = repeats

    def __len__(self) -> int:
        return super().__len__() * self.repeats

    def __iter__(self) -> Iterator[Any]:
        batches = super().__iter__()
        return (same for batch in batches for same in repeat(batch, self.repeats))
