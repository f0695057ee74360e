"""Easy clips first: a share of the training clips that grows until all of them are in use. (SARI, arXiv:2504.15900)"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from torch.utils.data import DistributedSampler

from cogrl.data.errors import raise_all
from cogrl.data.shuffled_batches import EpochPlaces, ShuffledBatches
from cogrl.types import Example


@dataclass(frozen=True)
class Curriculum:
    """The first `batches` batches are drawn from the easiest clips, whose share grows evenly from `start` to 1.

    Args:
        key: the number of the manifest's lines that says how easy a clip is.
        easiest: whether the highest or the lowest number is the easiest.
        start: the share of the clips that the first batch is drawn from, at least a batch of them.
        batches: how many batches, of all ranks together; for RL a batch is a rollout.

    Raises ValueError for settings out of range.
    """

    key: Literal["snr_db", "duration_s"] = "snr_db"
    easiest: Literal["highest", "lowest"] = "highest"
    start: float = 0.3
    batches: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.start <= 1 or self.batches < 1:
            raise ValueError(f"curriculum: start={self.start} must lie in (0, 1] and batches={self.batches} be above 0")

    def easiest_first(self, examples: Sequence[Example]) -> list[int]:
        """The places of the examples. Raises ValueError, `file:line (id)`, for lines without the key."""
        without = f"no {self.key}, which data.curriculum sorts by; add it to this line or leave the line out"
        raise_all([f"{e.where} ({e.id}): {without}" for e in examples if getattr(e, self.key) is None])
        sign = -1 if self.easiest == "highest" else 1
        return sorted(range(len(examples)), key=lambda i: (sign * getattr(examples[i], self.key), examples[i].id))

    def share(self, batch: int) -> float:
        """The share of the clips that a batch is drawn from; batches count from 0."""
        return min(1.0, self.start + (1 - self.start) * batch / self.batches)


class CurriculumBatches(DistributedSampler):
    """Those of `ShuffledBatches`, the first ones drawn from the easiest clips, each by seed and its number alone."""

    def __init__(self, shuffled: ShuffledBatches, curriculum: Curriculum, easiest_first: Sequence[int]) -> None:
        self.shuffled, self.curriculum, self.places = shuffled, curriculum, easiest_first
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.shuffled)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        self.shuffled.set_epoch(epoch)

    def __iter__(self) -> Iterator[list[int]]:
        size, world_size = self.shuffled.batch_size, self.shuffled.world_size
        for i, places in enumerate(self.shuffled):
            number = (self.epoch * len(self) + i) * world_size + self.shuffled.rank
            if number >= self.curriculum.batches:
                yield places
                continue
            count = max(size, round(self.curriculum.share(number) * len(self.places)))
            drawn = random.Random(f"{self.shuffled.seed}/curriculum/{number}").sample(self.places[:count], size)
            yield EpochPlaces(drawn, self.epoch)
