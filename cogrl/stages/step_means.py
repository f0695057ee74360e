"""Metrics of an optimiser step that is accumulated over several micro-batches; Lightning alone shows the last one's."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Logged = tuple[Tensor, dict[str, Any]]
"""A value and how it was logged."""
REDUCTIONS = {"mean": torch.mean, "max": torch.max, "min": torch.min, "sum": torch.sum}
"""By the names that `LightningModule.log` takes as `reduce_fx`."""


class StepMeans:
    """What the micro-batches of the current optimiser step have logged so far.

    Each micro-batch counts the same, as in the loss: Lightning divides every micro-batch's loss by their number. One
    that did not log a name is left out of that name's mean, and of two values in one micro-batch the later counts.
    """

    def __init__(self) -> None:
        self.step: int | None = None
        self.values: dict[str, dict[int, Tensor]] = {}
        self.latest: dict[str, Logged] = {}
        self.held: dict[str, Logged] = {}
        self.epoch: int | None = None

    def add(
        self, name: str, value: int | float | Tensor, step: int, micro_batch: int, reduction: str = "mean"
    ) -> Tensor:
        """The value of `name` over the micro-batches of optimiser step `step` up to this one, without a gradient.

        `micro_batch` identifies a micro-batch of the step; a new `step` starts from nothing.
        """
        if step != self.step:
            self.step, self.values = step, {}
        mine = self.values.setdefault(name, {})
        mine[micro_batch] = torch.as_tensor(value).detach()
        if len(mine) == 1:
            return mine[micro_batch]
        return REDUCTIONS[reduction](torch.stack([one.float().squeeze() for one in mine.values()]))

    def note(self, name: str, value: Tensor, how: dict[str, Any], epoch: int) -> None:
        """Keep what was logged last under a name: Lightning repeats it in every later step of the epoch."""
        if epoch != self.epoch:
            self.epoch, self.latest = epoch, {}
        self.latest[name] = value, how

    def take_over(self, epoch: int) -> dict[str, Logged]:
        """What a checkpoint held that a resumed run has to log once, to repeat it likewise; nothing the second time."""
        held, self.held = self.held, {}
        if epoch != self.epoch:
            return {}
        self.latest = held | self.latest
        return held

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "latest": self.held | self.latest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.epoch, self.held = state["epoch"], dict(state["latest"])
