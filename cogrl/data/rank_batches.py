"""What the orders of batches have in common: each batch is known by its number, so that an epoch can begin at any."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from torch.utils.data import DistributedSampler


class RankBatches(DistributedSampler, ABC):
    """The batches of one rank as lists of places, each found from its number alone.

    A `DistributedSampler` so that Lightning leaves it in place under every strategy and tells it the epoch.
    """

    def __init__(self, size: int, batch_size: int, rank: int, world_size: int) -> None:
        self.size, self.batch_size, self.rank, self.world_size = size, batch_size, rank, world_size
        self.epoch = self.first = 0

    @abstractmethod
    def batch(self, number: int) -> list[int]:
        """The places of batch `number` of this rank in this epoch."""

    def start_at(self, number: int) -> None:
        """The next walk, and no other, begins at batch `number`: so many were trained on before the run was stopped.

        Raises ValueError for a batch that the epoch does not have.
        """
        if not 0 <= number <= len(self):
            raise ValueError(
                f"an epoch of {len(self)} batches can not go on at batch {number}: the manifest, data.batch_size or "
                "the number of processes is another one than when the checkpoint was written; set them back"
            )
        self.first = number

    def __iter__(self) -> Iterator[list[int]]:
        first, self.first = self.first, 0  # when the first batch is asked for: loaders with workers begin two walks
        yield from map(self.batch, range(first, len(self)))
