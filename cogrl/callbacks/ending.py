"""How a run ends when it does not end well: the tracker is told, and one rank's failure ends them all."""

import os
import sys
from collections.abc import Callable

import pytorch_lightning as pl
from pytorch_lightning.utilities.exceptions import SIGTERMException

from cogrl.callbacks.mlflow_logger import MLflowLogger


class Ending(pl.Callback):
    """FAILED or KILLED in MLflow, whatever ended the run.

    Where several processes train, one that fails says why and leaves at once: the others may be in the middle of a
    collective call that it will never join, so nothing may wait for them any more, neither a checkpoint nor a teardown.
    Its going ends theirs: their calls fail, or their launcher ends them. A stop that all ranks have agreed on is no
    failure and takes the ordinary way.

    Args:
        report: prints an error as the command line does and returns the exit status.
    """

    def __init__(self, report: Callable[[BaseException], int]) -> None:
        self.report = report

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        together = trainer.world_size == 1 or isinstance(exception, SIGTERMException)
        if not together:
            print(f"rank {trainer.global_rank} of {trainer.world_size} failed:", file=sys.stderr)
            status = self.report(exception)
            sys.stderr.flush()
            sys.stdout.flush()
        for logger in trainer.loggers:
            if isinstance(logger, MLflowLogger):
                logger.fail(exception)
        if not together:
            for logger in trainer.loggers:
                logger.finalize("failed")
            os._exit(status)
