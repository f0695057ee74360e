"""Collectives over the ranks of a run, and how a rank leaves the process group."""

from typing import TypeVar

from torch import distributed

Item = TypeVar("Item")


def gathered(item: Item) -> list[Item]:
    """The `item` of every rank, in the order of the ranks; of a run of one process its own alone.

    Collective: every rank makes this call, or none does.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return [item]
    found: list = [None] * distributed.get_world_size()
    distributed.all_gather_object(found, item)
    return found


def leave() -> None:
    """End this rank's part in the process group: one that is left open can abort the process when it exits (gloo)."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
