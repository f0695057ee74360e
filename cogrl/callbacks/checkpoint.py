"""The checkpoint that a run needs to go on: `checkpoints/last.ckpt`, and the one before it."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.exceptions import SIGTERMException
from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from cogrl.atomic import remove
from cogrl.callbacks.checkpoint_files import LAST, PREVIOUS, UNFINISHED, folder_of, kept
from cogrl.callbacks.checkpoint_io import DirectCheckpointIO, free_space
from cogrl.callbacks.random_state import set_random_state
from cogrl.callbacks.resume_point import ResumePoint
from cogrl.finite import not_finite


class LastCheckpoint(Checkpoint):
    """Written every N steps, at the end, when training is stopped, and after an error of a single process.

    A checkpoint replaces the last one only when it is complete and its weights are finite: it is written beside it, on
    the same disk, and renamed. It resumes the same run and nothing else: the next stage takes the Hugging Face folder
    in `export`. With it the run goes on to the same numbers: it holds the place in the data, the rollouts in use, the
    random numbers of every rank and whether a validation is due, all as they were behind its last whole optimiser step,
    see `ResumePoint`. It is written once the metrics of that step are logged, and before a validation that is due,
    except behind the last step, where it would be left out.

    Args:
        every_n_steps: optimiser steps between two writes; 0 = only at the end or when training is interrupted.
        keep_previous: keep the one before the last as `previous.ckpt`, for when the last one is damaged.
    """

    def __init__(self, every_n_steps: int = 100, keep_previous: bool = True) -> None:
        if every_n_steps < 0:
            raise ValueError(f"checkpoint.every_n_steps={every_n_steps} must be at least 0")
        self.every_n_steps, self.keep_previous = every_n_steps, keep_previous
        self.saved_at, self.failed = 0, False
        self.point: ResumePoint | None = None
        self.random: dict[str, Any] | None = None

    @property
    def state_key(self) -> str:
        return type(self).__name__

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.folder = folder_of(Path(trainer.default_root_dir).absolute())
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = DirectCheckpointIO()

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        mine = checkpoint.get("ranks", {}).get(trainer.global_rank)
        if mine is not None and trainer.state.fn == TrainerFn.FITTING:
            self.random = mine["random"]
            pl_module.load_step_state(mine["stage"])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.saved_at, self.failed = trainer.global_step, False
        if self.random is not None:  # last of all, since what comes before draws as well
            set_random_state(self.random, trainer.strategy.root_device)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not trainer.fit_loop._should_accumulate():
            self.point = ResumePoint.of(trainer, pl_module, validated=False)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step != trainer.max_steps:
            self.save_if_due(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.point and not trainer.sanity_checking and not trainer.fit_loop._should_accumulate():
            self.point = ResumePoint.of(trainer, pl_module, validated=True)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.save_if_due(trainer, pl_module)

    def save_if_due(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.every_n_steps and trainer.global_step % self.every_n_steps == 0:
            self.save(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self.point is None or self.point.step != trainer.global_step:  # a step is over whose end was not reached
            self.point = ResumePoint.of(trainer, pl_module, validated=False)
        self.point.write(checkpoint)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.save(trainer, pl_module)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save when all ranks stop together, or when the only rank fails on its own; never after a failed save.

        Weights that an error has left half changed are not saved either: neither after a second Ctrl-C nor after a
        number that is not finite.
        """
        stopped = isinstance(exception, SIGTERMException)
        alone = trainer.world_size == 1 and isinstance(exception, Exception)
        if self.failed or isinstance(exception, FloatingPointError) or not (stopped or alone):
            return
        try:
            self.save(trainer, pl_module)
        except Exception as error:  # a broken device may raise anything; the final status has to reach the tracker
            rank_zero_warn(f"the last checkpoint stays as it was: {error}")

    def save(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what the run needs to go on, unless no step was taken since the last time.

        Raises FloatingPointError for weights that are not finite, OSError when the disk does not take it; on all ranks,
        and the last checkpoint stays.
        """
        step, strategy = trainer.global_step, trainer.strategy
        if trainer.fast_dev_run or trainer.sanity_checking or step == self.saved_at:
            return
        self.failed = True
        broken = not_finite(pl_module.named_parameters())
        if strategy.reduce_boolean_decision(broken is not None, all=False):
            raise FloatingPointError(
                f"no checkpoint at step {step}: the weights are not finite{broken and f', {broken}'}; {self.advice()}"
            )
        unfinished = self.folder / UNFINISHED
        if trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove(unfinished)
        strategy.barrier("room for the checkpoint")  # of a folder every rank writes its own part
        trainer.save_checkpoint(unfinished, weights_only=False)
        failure = getattr(strategy.checkpoint_io, "failure", None)
        if strategy.reduce_boolean_decision(failure is not None, all=False):
            remove(unfinished)
            raise OSError(
                f"the checkpoint of step {step} can not be written to {self.folder} ({failure or 'see rank 0'}; "
                f"{free_space(self.folder)}); make room there, or copy the run folder to another disk and name it with "
                f"--run_dir; {self.advice()}"
            )
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.after_save_checkpoint(self)  # which sends what it holds: the run never logs it again
            self.put_in_place()
        strategy.barrier("checkpoint in place")
        self.saved_at, self.failed = step, False

    def put_in_place(self) -> None:
        """The last checkpoint becomes the previous one, the unfinished the last; at every moment one is whole."""
        last, previous = self.folder / LAST, self.folder / PREVIOUS
        if last.is_dir() or (self.keep_previous and last.exists()):  # no folder is renamed over another one
            remove(previous)
            last.rename(previous)
        (self.folder / UNFINISHED).rename(last)
        if not self.keep_previous:
            remove(previous)

    def advice(self) -> str:
        """What is left of the run, in words."""
        good = kept(self.folder)
        return (
            f"the last good one is {good[0]}, from which --ckpt_path last goes on"
            if good
            else "the run has no earlier checkpoint"
        )
