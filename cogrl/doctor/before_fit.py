"""The doctor inside Lightning: its cheap half before the first step of `fit`, and all of it as an entry point."""

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.trainer.states import TrainerFn

from cogrl.data.module import AudioData
from cogrl.doctor.case import Case
from cogrl.doctor.examination import CHECKS, examine
from cogrl.doctor.finding import Finding
from cogrl.doctor.report import faults, report
from cogrl.stages.stage import Stage


class Doctor(pl.Callback):
    """Prints the report of the cheap checks; a fault ends the run before its first step, on all ranks.

    `fit` itself has by then refused whatever is wrong with the folder, the manifests, their lines and the settings.

    Args:
        device_gib: the memory of one device in GiB; None: what it has.
    """

    def __init__(self, device_gib: float | None = None) -> None:
        self.device_gib = device_gib

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Raises ValueError, with every fault."""
        wrong = ""
        if trainer.is_global_zero:
            case = Case(pl_module, trainer.datamodule, trainer, Path(trainer.default_root_dir), self.device_gib)
            checks = [check for check in CHECKS if check.cheap]
            findings = examine(case, checks)
            print(report(findings), flush=True)
            wrong = "\n".join(f"{finding.name}: {finding.seen}" for finding in faults(findings))
        wrong = trainer.strategy.broadcast(wrong)
        if wrong:
            raise ValueError(f"the doctor found what would spoil this run:\n{wrong}")


class ExaminingTrainer(pl.Trainer):
    """Lightning's trainer with one more entry point."""

    def doctor(
        self,
        model: Stage,
        datamodule: AudioData,
        ckpt_path: str | None = None,
        device_gib: float | None = None,
        elsewhere: bool = False,
    ) -> list[Finding]:
        """Examines the fit of a stage on this data: every check, in this process alone; nothing is trained or written.

        Args:
            ckpt_path: what `fit` would go on from; the command line looks whether it is there.
            device_gib, elsewhere: see `Case`.
        """
        self.state.fn = TrainerFn.FITTING
        self._data_connector.attach_data(model, datamodule=datamodule)
        return examine(Case(model, datamodule, self, Path(self.default_root_dir), device_gib, elsewhere))
