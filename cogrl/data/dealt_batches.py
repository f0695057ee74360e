"""The batches of an evaluation, dealt out to the ranks: each clip once, and as many batches on every rank."""

from collections.abc import Iterator

from torch.utils.data import DistributedSampler


class DealtBatches(DistributedSampler):
    """The batches one process would make, dealt out to the ranks in turn; an empty one where there is none left.

    Each is a list of places. A rank that gets an empty one still runs a forward pass, which a sharded model needs of
    every rank, but counts nothing. Batch `i` of rank `r` is batch `i * world_size + r` of the manifest. A
    `DistributedSampler` so that Lightning leaves it in place under every strategy.
    """

    def __init__(self, size: int, batch_size: int, rank: int, world_size: int) -> None:
        self.size, self.batch_size, self.rank, self.world_size = size, batch_size, rank, world_size
        self.epoch = 0

    def __len__(self) -> int:
        return -(-self.size // (self.batch_size * self.world_size))

    def __iter__(self) -> Iterator[list[int]]:
        for i in range(len(self)):
            start = (i * self.world_size + self.rank) * self.batch_size
            yield list(range(start, min(start + self.batch_size, self.size)))
