"""Metrics of an optimiser step that is accumulated over several micro-batches; Lightning alone shows the last one's."""

import torch
from torch import Tensor

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
