"""Work on the parts of a long list: in loader processes when there are many, with its progress shown."""

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

from torch.utils.data import Dataset

from cogrl.data.signal_safe_loader import SignalSafeLoader
from cogrl.progress import progress

Found = TypeVar("Found")
MANY = 2000
"""From here on processes are started: fewer lines take less time than that."""
_PART = 500
_MOST_PROCESSES = 32


class _Parts(Dataset):
    """What `work` makes of each part."""

    def __init__(self, work: Callable[[range], Found], parts: list[range]) -> None:
        self.work, self.parts = work, parts

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int) -> Found:
        return self.work(self.parts[index])


def in_parallel(work: Callable[[range], Found], count: int, desc: str, unit: str) -> Iterator[Found]:
    """`work` of each part of `range(count)`, in the order of the parts; `desc` and `unit` are for the progress line.

    Uses every core that this process may use, 32 at most. What `work` returns crosses a pipe.
    """
    parts = [range(start, min(start + _PART, count)) for start in range(0, count, _PART)]
    processes = min(len(os.sched_getaffinity(0)), _MOST_PROCESSES) if count >= MANY else 0
    loader = SignalSafeLoader(_Parts(work, parts), batch_size=None, num_workers=processes, collate_fn=_as_it_is)
    with progress(desc=desc, total=count, unit=unit) as shown:
        for part, found in zip(parts, loader, strict=True):
            yield found
            shown.update(len(part))


def _as_it_is(found: Found) -> Found:
    return found
