"""Easy clips first: a share of the training clips that grows until all of them are in use. (SARI, arXiv:2504.15900)"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from cogrl.data.errors import raise_all
from cogrl.data.in_parallel import in_parallel
from cogrl.data.rank_batches import RankBatches
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

    def easiest_first(self, examples: Sequence[Example]) -> np.ndarray:
        """The places (n,) of the examples. Raises ValueError, `file:line (id)`, for lines without the key."""
        found = list(in_parallel(partial(self._part, examples), len(examples), "order of the curriculum", "line"))
        raise_all([error for _, errors in found for error in errors])
        ranked = sorted(row for rows, _ in found for row in rows)
        return np.fromiter((place for _, _, place in ranked), dtype=np.int32, count=len(ranked))

    def _part(self, examples: Sequence[Example], part: range) -> tuple[list[tuple[float, str, int]], list[str]]:
        without = f"no {self.key}, which data.curriculum sorts by; add it to this line or leave the line out"
        sign = -1 if self.easiest == "highest" else 1
        rows, errors = [], []
        for place in part:
            example = examples[place]
            level = getattr(example, self.key)
            if level is None:
                errors.append(f"{example.where} ({example.id}): {without}")
            else:
                rows.append((sign * level, example.id, place))
        return rows, errors

    def share(self, batch: int) -> float:
        """The share of the clips that a batch is drawn from; batches count from 0."""
        return min(1.0, self.start + (1 - self.start) * batch / self.batches)


class CurriculumBatches(RankBatches):
    """Those of `ShuffledBatches`, the first ones drawn from the easiest clips, each by seed and its number alone."""

    def __init__(self, shuffled: ShuffledBatches, curriculum: Curriculum, easiest_first: np.ndarray) -> None:
        super().__init__(shuffled.size, shuffled.batch_size, shuffled.rank, shuffled.world_size)
        self.shuffled, self.curriculum, self.places = shuffled, curriculum, easiest_first

    def __len__(self) -> int:
        return len(self.shuffled)

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self.shuffled.set_epoch(epoch)

    def batch(self, number: int) -> EpochPlaces:
        drawn = (self.epoch * len(self) + number) * self.world_size + self.rank
        if drawn >= self.curriculum.batches:
            return self.shuffled.batch(number)
        count = max(self.batch_size, round(self.curriculum.share(drawn) * len(self.places)))
        ranks = random.Random(f"{self.shuffled.seed}/curriculum/{drawn}").sample(range(count), self.batch_size)
        return EpochPlaces([int(self.places[rank]) for rank in ranks], self.epoch)
