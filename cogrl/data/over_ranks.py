"""A collective for what takes longer than a step."""

from datetime import timedelta
from typing import TypeVar

from torch import distributed

Item = TypeVar("Item")
_LONGEST_WAIT = timedelta(days=1000)


def all_gathered(item: Item) -> list[Item]:
    """The `item` of every rank, in the order of the ranks; of a run of one process its own alone.

    Collective: every rank makes this call. It waits for ranks that still read files, however long that takes: the
    process group of the training would give up after half an hour.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return [item]
    found: list = [None] * distributed.get_world_size()
    group = distributed.new_group(backend="gloo", timeout=_LONGEST_WAIT)
    distributed.all_gather_object(found, item, group=group)
    distributed.destroy_process_group(group)
    return found
