"""How far training is: a bar on a terminal; one line now and then in a log file, where a bar would leave thousands."""

import time

import pytorch_lightning as pl
from tqdm import tqdm


class ProgressLines(pl.Callback):
    """`step 40/200  train/loss 1.23  2.1 steps/s`, at most every `every_s` seconds."""

    def __init__(self, every_s: float = 5.0) -> None:
        self.every_s = every_s

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.last_line, self.last_step = time.monotonic(), trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs, batch, batch_idx: int
    ) -> None:
        if trainer.fit_loop._should_accumulate():
            return  # in the middle of an optimiser step, whose metrics are not whole yet
        elapsed_s = time.monotonic() - self.last_line
        done = trainer.global_step == trainer.max_steps
        if (elapsed_s < self.every_s and not done) or not trainer.is_global_zero:
            return
        speed = (trainer.global_step - self.last_step) / max(elapsed_s, 1e-9)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in trainer.progress_bar_metrics.items())
        last = "" if trainer.max_steps < 0 else f"/{trainer.max_steps}"
        print(f"step {trainer.global_step}{last}  {shown}  {speed:.2g} steps/s", flush=True)
        self.last_line, self.last_step = time.monotonic(), trainer.global_step


class StepBar(pl.Callback):
    """A bar of the optimiser steps up to `max_steps`; Lightning's own shows batches of an epoch, which ends no run."""

    bar: tqdm | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        total = None if trainer.max_steps < 0 else trainer.max_steps
        quiet = not trainer.is_global_zero
        self.bar = tqdm(desc="training", total=total, initial=trainer.global_step, unit="step", disable=quiet)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs, batch, batch_idx: int
    ) -> None:
        metrics = {name: f"{value:.4g}" for name, value in trainer.progress_bar_metrics.items()}
        self.bar.set_postfix(metrics, refresh=False)
        self.bar.update(trainer.global_step - self.bar.n)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.bar.close()  # what is printed next begins on a line of its own

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if self.bar is not None:
            self.bar.close()
