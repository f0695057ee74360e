"""The batches of another sampler, of one epoch not from the first on: where a resumed run goes on."""

from collections.abc import Iterator
from itertools import islice

from torch.utils.data import DistributedSampler


class ResumableBatches(DistributedSampler):
    """Those of `batches`, any sampler with epochs; what is before `first` is left out once, and its audio never read.

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
        first, self.first = self.first, 0
        return islice(iter(self.batches), first, None)
