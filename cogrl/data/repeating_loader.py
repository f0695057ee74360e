"""A loader that hands out each batch several times in a row and loads it once, and goes on where a run was stopped."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from cogrl.data.rank_batches import RankBatches
from cogrl.data.signal_safe_loader import SignalSafeLoader


class RepeatingLoader(SignalSafeLoader):
    """The batches of a `SignalSafeLoader`, each `repeats` times in a row: once for every micro-batch of a rollout.

    A repeated batch is the same object: its audio is neither decoded nor sent from a worker again. Its random numbers
    are its own: those of training do not depend on how often a loader was begun.

    Its state is the epoch and how many batches, repeats included, it has handed out in it; what workers have loaded
    ahead is not among them. Once taken over, the next epoch that is begun is that one, from there on. One that
    `looks_ahead` loads a batch earlier and tells each batch of the epoch which clips follow it.
    """

    def __init__(
        self, *args: Any, sampler: RankBatches, repeats: int, looks_ahead: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, sampler=sampler, generator=torch.Generator(), **kwargs)
        self.repeats, self.looks_ahead, self.start, self.handed_out = repeats, looks_ahead, 0, 0

    def __len__(self) -> int:
        return super().__len__() * self.repeats

    def __iter__(self) -> Iterator[Any]:
        start, self.start = self.start, 0
        first, used = divmod(start, self.repeats)
        self.sampler.start_at(first)
        self.handed_out = start
        batches = super().__iter__()
        return self._repeated(following(batches) if self.looks_ahead else batches, used)

    def _repeated(self, batches: Iterable[Any], used: int) -> Iterator[Any]:
        """Each batch `repeats` times, the first one `used` times less."""
        for batch in batches:
            for _ in range(used, self.repeats):
                self.handed_out += 1
                yield batch
            used = 0

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.sampler.epoch, "handed_out": self.handed_out, "length": len(self)}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Warns where an epoch has become longer or shorter: its order is then another one."""
        if state["length"] != len(self):
            rank_zero_warn(
                f"an epoch had {state['length']} batches when the checkpoint was written and has {len(self)} now: "
                "the data, data.batch_size or the micro-batches of a rollout have changed, so other clips follow "
                "than would have followed"
            )
        self.sampler.set_epoch(state["epoch"])
        self.start = state["handed_out"]


def following(batches: Iterable[Any]) -> Iterator[Any]:
    """The batches, each of which knows the clips of the next."""
    before = None
    for batch in batches:
        if before is not None:
            before.following = batch.clips
            yield before
        before = batch
    if before is not None:
        yield before
