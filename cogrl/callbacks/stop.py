"""Stopping a run from outside: asked on any rank, decided by all of them together, after the same step."""

from typing import Any

import pytorch_lightning as pl
import torch


class AgreedStop(pl.Callback):
    """Ends training when a signal has reached any rank: every rank at one step, so that they can save together.

    `request` only records the signal. After each optimiser step and each validation batch the ranks all-reduce whether
    any has one; Lightning's own flag is then set on all of them at once, and its loops end where the last step is
    complete and logged: never between the micro-batches of a step, whose gradients no checkpoint keeps.
    """

    def __init__(self) -> None:
        self.requested = self.agreed = 0
        self.active = False

    def request(self, signal_number: int) -> None:
        """To be called from a signal handler: sets one integer and nothing else."""
        self.requested = signal_number

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        # Lightning's handler decides for its own rank and calls a collective wherever the signal arrived
        trainer._signal_connector._sigterm_notifier_fn = lambda number, frame: None

    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.active = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.active = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.active = False

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not trainer.fit_loop._should_accumulate():
            self.agree(trainer)

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *batch: Any) -> None:
        if self.active:
            self.agree(trainer)

    def agree(self, trainer: pl.Trainer) -> None:
        self.agreed = self.requested
        if trainer.world_size > 1:
            asked = torch.tensor(self.requested, device=trainer.strategy.root_device)
            self.agreed = int(trainer.strategy.reduce(asked, reduce_op="max"))
        if self.agreed:
            trainer._signal_connector.received_sigterm = True
