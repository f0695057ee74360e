"""The batches of training: an order fixed by seed and epoch, the same for any number of workers."""

import random
from collections.abc import Iterator, Sequence

from torch.utils.data import DistributedSampler


class EpochPlaces(list):
    """The places of a batch, and the epoch they are drawn in: what a loader's worker has to know of it."""

    def __init__(self, places: Sequence[int], epoch: int) -> None:
        super().__init__(places)
        self.epoch = epoch

    def __reduce__(self) -> tuple:
        return EpochPlaces, (list(self), self.epoch)


class ShuffledBatches(DistributedSampler):
    """Full batches in an order fixed by (seed, epoch), dealt out to the ranks in turn.

    A `DistributedSampler` so that Lightning leaves it in place under every strategy.
    """

    def __init__(self, size: int, batch_size: int, seed: int, rank: int, world_size: int) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.rank, self.world_size, self.epoch = rank, world_size, 0

    def __len__(self) -> int:
        return self.size // (self.batch_size * self.world_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = list(range(self.size))
        random.Random(f"{self.seed}/{self.epoch}").shuffle(order)
        for i in range(len(self)):
            start = (i * self.world_size + self.rank) * self.batch_size
            yield EpochPlaces(order[start : start + self.batch_size], self.epoch)
