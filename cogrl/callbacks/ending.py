"""What happens when a run fails: its status is written to the tracker, and the failure of one rank ends all ranks."""

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

    Where several processes train, one that fails prints the error and exits at once: the others may be inside a
    collective call that it will never join, so nothing may wait for them, neither a checkpoint nor a teardown. Its exit
    ends the others too: their collective calls fail, or the launcher stops them (Lightning's does so after a delay in
    which the first rank can report the failure itself). A stop that all ranks have agreed on is not a failure and ends
    normally.

    Args:
        report: prints an error as the command line does and returns the exit status.
    """

    def __init__(self, report: Callable[[BaseException], int]) -> None:
        self.report = report

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        for thread in threading.enumerate():  # Lightning kills the first rank without a message when another has failed
            if isinstance(thread, _ChildProcessObserver):
                thread._terminate_all = partial(self.another_has_failed, trainer, thread._terminate_all)

    def another_has_failed(self, trainer: pl.Trainer, kill: Callable[[], None]) -> None:
        """Called from the thread that watches the processes this one has started."""
        time.sleep(_GRACE_S)
        self.report_end(trainer, RuntimeError("another process of this run has failed"))
        kill()

    def report_end(self, trainer: pl.Trainer, error: BaseException) -> None:
        """Write the final status to the tracker, with the metrics that are still queued."""
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
        self.report_end(trainer, exception)
        os._exit(status)
