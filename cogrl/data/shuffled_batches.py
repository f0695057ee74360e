"""The batches of training: an order fixed by seed and epoch, the same for any number of workers."""

from collections.abc import Sequence

from cogrl.data.permutation import Permutation
from cogrl.data.rank_batches import RankBatches


class EpochPlaces(list):
    """The places of a batch, and the epoch they are drawn in: what a loader's worker has to know of it."""

    def __init__(self, places: Sequence[int], epoch: int) -> None:
        super().__init__(places)
        self.epoch = epoch

    def __reduce__(self) -> tuple:
        return EpochPlaces, (list(self), self.epoch)


class ShuffledBatches(RankBatches):
    """Full batches in an order fixed by (seed, epoch), dealt out to the ranks in turn; no list of places is held."""

    def __init__(self, size: int, batch_size: int, seed: int, rank: int, world_size: int) -> None:
        super().__init__(size, batch_size, rank, world_size)
        self.seed = seed

    def __len__(self) -> int:
        return self.size // (self.batch_size * self.world_size)

    def batch(self, number: int) -> EpochPlaces:
        order = Permutation(self.size, f"{self.seed}/{self.epoch}")
        start = (number * self.world_size + self.rank) * self.batch_size
        return EpochPlaces([order[place] for place in range(start, start + self.batch_size)], self.epoch)
