"""Callbacks that kill their own process in the middle of something, and that note what each step did to the bit."""

import functools
import hashlib
import json
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from cogrl.callbacks.checkpoint_io import DirectCheckpointIO

MOMENTS = ("writing", "sampling", "scoring", "updating", "validating", "starting")


class StepTrace(pl.Callback):
    """`trace.<rank>.jsonl`: of each optimiser step the loss and digests of the weights and random numbers behind it."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.fit_loop._should_accumulate():
            return
        states = {
            "torch": torch.get_rng_state().numpy().tobytes(),
            "numpy": repr(np.random.get_state()).encode(),
            "python": repr(random.getstate()).encode(),
        }
        random.random(), np.random.rand()  # so that a state that is not restored shows
        weights = hashlib.sha256()
        for parameter in pl_module.parameters():
            weights.update(parameter.detach().numpy().tobytes())
        record = {"step": trainer.global_step, "loss": float(outputs["loss"]).hex(), "weights": weights.hexdigest()}
        record |= {name: hashlib.sha256(state).hexdigest() for name, state in states.items()}
        with open(f"trace.{trainer.global_rank}.jsonl", "a") as file:
            file.write(json.dumps(record) + "\n")


class KilledAt(pl.Callback):
    """SIGKILL to this very process, `delay_s` seconds after it has begun to do `moment` for the `count`-th time.

    What it was doing when it died is in the file `moment`.
    """

    def __init__(self, moment: str, count: int, delay_s: float = 0.0) -> None:
        self.moment, self.count, self.delay_s = moment, count, delay_s

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.begins("starting")
        pl_module.run_engine = self.watched(pl_module.run_engine, "sampling")
        pl_module.score = self.watched(pl_module.score, "scoring")
        DirectCheckpointIO.save_checkpoint = self.watched(DirectCheckpointIO.save_checkpoint, "writing")

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: torch.Tensor) -> None:
        self.begins("updating")

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.begins("validating")

    def watched(self, function: Any, moment: str) -> Any:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.begins(moment)
            result = function(*args, **kwargs)
            Path("moment").write_text("between")
            return result

        return call

    def begins(self, moment: str) -> None:
        Path("moment").write_text(moment)
        if moment != self.moment:
            return
        self.count -= 1
        if self.count == 0:
            threading.Thread(target=self.kill, daemon=True).start()
            if not self.delay_s:
                time.sleep(60)

    def kill(self) -> None:
        time.sleep(self.delay_s)
        os.kill(os.getpid(), signal.SIGKILL)


def letters(answer) -> float:
    """A reward that differs from one completion to the next, so that RL has something to learn."""
    return answer.text.count("e") / max(1, len(answer.text)) + 0.01 * len(answer.text)
