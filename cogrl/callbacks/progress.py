"""Progress for a log file: one plain line at intervals, where a progress bar would write thousands."""

import time

import pytorch_lightning as pl


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
