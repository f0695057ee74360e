"""How a run ends when it does not end well: the tracker is told, and one rank's failure ends them all."""

import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

import pytorch_lightning as pl
from lightning_fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from pytorch_lightning.utilities.exceptions import SIGTERMException

from cogrl.callbacks.mlflow_logger import MLflowLogger

_GRACE_S = 10


class Ending(pl.Callback):
    """FAILED or KILLED in MLflow, whatever ended the run.

    Where several processes train, one that fails says why and leaves at once: the others may be in the middle of a
    collective call that it will never join, so nothing may wait for them any more, neither a checkpoint nor a teardown.
    Its going ends theirs: their calls fail, or their launcher ends them, where it is Lightning after a while in which
    the first rank can say so itself. A stop that all ranks have agreed on is no failure and takes the ordinary way.

    Args:
        report: prints an error as the command line does and returns the exit status.
    """

    def __init__(self, report: Callable[[BaseException], int]) -> None:
        self.report = report

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        for thread in threading.enumerate():  # Lightning kills the first rank, unheard, when another has failed
            if isinstance(thread, _ChildProcessObserver):
                thread._terminate_all = partial(self.another_has_failed, trainer, thread._terminate_all)

    def another_has_failed(self, trainer: pl.Trainer, kill: Callable[[], None]) -> None:
        """Called from the thread that watches the processes this one has started."""
        time.sleep(_GRACE_S)
        self.tell(trainer, RuntimeError("another process of this run has failed"))
        kill()

    def tell(self, trainer: pl.Trainer, error: BaseException) -> None:
        """The tracker learns of the end, and takes what is still waiting."""
        for logger in trainer.loggers:
            if isinstance(logger, MLflowLogger):
                logger.fail(error)
                logger.finalize("failed")

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        together = trainer.world_size == 1 or isinstance(exception, SIGTERMException)
        if together:
            for logger in trainer.loggers:
                if isinstance(logger, MLflowLogger):
                    logger.fail(exception)
            return
        if not isinstance(exception, SystemExit):
            print(f"rank {trainer.global_rank} of {trainer.world_size} failed:", file=sys.stderr)
        status = self.report(exception)
        sys.stderr.flush()
        sys.stdout.flush()
        self.tell(trainer, exception)
        os._exit(status)
