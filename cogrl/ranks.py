"""Collectives over the ranks of a run, and how a rank leaves the process group."""

from datetime import timedelta
from typing import TypeVar

from torch import distributed

Item = TypeVar("Item")
_LONGEST_WAIT = timedelta(days=1000)


def place() -> tuple[int, int]:
    """The rank of this process and how many there are."""
    return (distributed.get_rank(), distributed.get_world_size()) if _several() else (0, 1)


def gathered(item: Item) -> list[Item]:
    """The `item` of every rank, in the order of the ranks; of a run of one process its own alone.

    Collective: every rank makes this call, or none does.
    """
    return _gathered(item, None) if _several() else [item]


def patiently_gathered(item: Item) -> list[Item]:
    """As `gathered`, for ranks that still read files, however long that takes.

    The process group of the training would give up after half an hour.
    """
    if not _several():
        return [item]
    group = distributed.new_group(backend="gloo", timeout=_LONGEST_WAIT)
    found = _gathered(item, group)
    distributed.destroy_process_group(group)
    return found


def leave() -> None:
    """End this rank's part in the process group: one that is left open can abort the process when it exits (gloo)."""
    if _several():
        distributed.destroy_process_group()


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _gathered(item: Item, group: distributed.ProcessGroup | None) -> list[Item]:
    found: list = [None] * distributed.get_world_size()
    distributed.all_gather_object(found, item, group=group)
    return found
