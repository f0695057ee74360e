"""Where a run stands behind a whole optimiser step: what it needs to go on besides weights, optimiser and schedule."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities import move_data_to_device
from torch import distributed

from cogrl.callbacks.random_state import random_state
from cogrl.ranks import place

_COUNTS = ("ready", "started", "processed", "completed")


@dataclass(frozen=True)
class ResumePoint:
    """Noted after each optimiser step, so that a checkpoint written later, after an error too, is of a whole step.

    `loops` is the state of Lightning's fit loop. `random` and `stage` are this rank's own.
    """

    step: int
    loops: dict[str, Any]
    controllers: Sequence[tuple[str, dict[str, Any]]]
    random: dict[str, Any]
    stage: dict[str, Any]

    @classmethod
    def of(cls, trainer: pl.Trainer, stage: pl.LightningModule, validated: bool) -> "ResumePoint":
        """That of now, when no step is under way. `validated`: a validation that follows this step is over."""
        loops = fit_loop_state(trainer, validated)
        random = random_state(trainer.strategy.root_device)
        return cls(trainer.global_step, loops, stage.controller_states(), random, stage.step_state())

    def write(self, checkpoint: dict[str, Any]) -> None:
        """Put it into a checkpoint that is about to be written. Collective."""
        checkpoint["loops"]["fit_loop"], checkpoint["controllers"] = self.loops, self.controllers
        mine = move_data_to_device({"random": self.random, "stage": self.stage}, torch.device("cpu"))
        checkpoint["ranks"] = of_all_ranks(mine)


def of_all_ranks(state: Any) -> dict[int, Any]:
    """By rank: on the first rank the `state` of each, on any other its own alone. Collective."""
    rank, ranks = place()
    if ranks == 1:
        return {0: state}
    found: list | None = [None] * ranks if rank == 0 else None
    distributed.gather_object(state, found, dst=0)
    return {rank: state} if found is None else dict(enumerate(found))


def fit_loop_state(trainer: pl.Trainer, validated: bool) -> dict[str, Any]:
    """The fit loop's state as if the step just done were complete, in one of the three forms that resume exactly.

    Lightning's own, taken in the middle of its bookkeeping, leaves out a validation that is due, and begins the epoch
    that follows a last batch with the iterator of the old one. These are: within an epoch, with all counts alike; the
    same with a validation that is to be run from its first batch on; and at the start of the next epoch.
    """
    loop = trainer.fit_loop
    state = loop.state_dict()
    due = not validated and loop.epoch_loop._should_check_val_fx(loop._data_fetcher)
    batches, epochs = state["epoch_loop.batch_progress"], state["epoch_progress"]
    for counts in (batches["total"], batches["current"]):
        counts.update(dict.fromkeys(_COUNTS, counts["ready"]))
    validation = state["epoch_loop.val_loop.batch_progress"]
    for counts in (validation["total"], validation["current"]):
        counts.update({"ready": int(due), "started": int(due), "processed": 0, "completed": 0})
    validation["is_last_batch"] = False
    if loop.epoch_loop._num_ready_batches_reached() and not due:
        batches["current"].update(dict.fromkeys(_COUNTS, 0))
        batches["is_last_batch"] = False
        for counts in (epochs["total"], epochs["current"]):
            counts.update(dict.fromkeys(_COUNTS, counts["ready"]))
        for loader in state["state_dict"].get("combined_loader", []):
            loader.update(epoch=loader["epoch"] + 1, handed_out=0)
    return state
