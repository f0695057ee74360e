"""The batches of an evaluation, dealt out to the ranks: each clip once, and as many batches on every rank."""

from cogrl.data.rank_batches import RankBatches


class DealtBatches(RankBatches):
    """The batches one process would make, dealt out to the ranks in turn; an empty one where there is none left.

    Each is a list of places. A rank that gets an empty one still runs a forward pass, which a sharded model needs of
    every rank, but counts nothing. Batch `i` of rank `r` is batch `i * world_size + r` of the manifest.
    """

    def __len__(self) -> int:
        return -(-self.size // (self.batch_size * self.world_size))

    def batch(self, number: int) -> list[int]:
        start = (number * self.world_size + self.rank) * self.batch_size
        return list(range(start, min(start + self.batch_size, self.size)))
