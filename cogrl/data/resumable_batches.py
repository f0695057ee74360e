"""The batches of another sampler, not from the first of the epoch on: where a resumed run goes on."""

from collections.abc import Iterator
from itertools import islice

from torch.utils.data import DistributedSampler


class ResumableBatches(DistributedSampler):
    """Those of `batches`, any sampler with epochs, from the one in place `first` on; what is before it is never read.

    Whoever begins an epoch says from where, each time: a loader with workers begins its sampler twice.

    A `DistributedSampler` so that Lightning leaves it in place under every strategy.
    """

    def __init__(self, batches: DistributedSampler) -> None:
        self.batches, self.first = batches, 0

    @property
    def epoch(self) -> int:
        return self.batches.epoch

    def set_epoch(self, epoch: int) -> None:
        self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return islice(iter(self.batches), self.first, None)
