"""`cogrl doctor CONFIG...`: examines the fit that these files and options describe, and prints what it found."""

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities.exceptions import MisconfigurationException

from cogrl.cli.fit.train import StageCLI
from cogrl.cli.quiet import silence_messages
from cogrl.doctor.finding import Finding
from cogrl.doctor.report import faults, report


class DoctorCLI(StageCLI):
    """The command line of `fit`; no run folder is made and no tracker is asked. `findings` are those of all checks."""

    def before_instantiate_classes(self) -> None:
        self.run_dir = Path(self.config[self.command].run_dir).absolute()
        self.config[self.command].trainer.logger = False
        self.elsewhere, self.findings = "", []

    def check_policies(self) -> None:
        """Does nothing: a check of the doctor does it, and the report says what it found."""

    def instantiate_trainer(self, **kwargs: Any):
        """A trainer as of `fit`; where this machine lacks its accelerator, one on as many CPU processes."""
        try:
            return super().instantiate_trainer(**kwargs)
        except ValueError as error:
            devices, reason = self._get(self.config_init, "trainer").devices, error.__cause__
            missing = isinstance(reason, MisconfigurationException) and re.search("accelerator|backend", str(reason))
            if not missing:
                raise
            self.elsewhere = str(reason)
            many = int(devices) if str(devices).isdigit() else len(devices) if isinstance(devices, list) else 1
            return super().instantiate_trainer(accelerator="cpu", devices=many, **kwargs)

    def doctor(self, model: Any, datamodule: Any, **_: Any) -> None:
        """Run all checks."""
        self.findings = list(self.missing_device())
        machine = {"device_gib": self._get(self.config, "device_gib"), "elsewhere": bool(self.elsewhere)}
        self.findings += self.trainer.doctor(model, datamodule, **machine)

    def missing_device(self) -> list[Finding]:
        """What to know where the accelerator is not here."""
        if not self.elsewhere:
            return []
        ranks = self.trainer.num_devices * self.trainer.num_nodes
        advice = "run the doctor where the training is to run; here it examines on the CPU, and takes the number of "
        advice += f"ranks to be {ranks} (trainer.devices, trainer.num_nodes)"
        return [Finding("device", "warning", self.elsewhere.splitlines()[0], advice)]


def main(command: str, args: Sequence[str]) -> int:
    """Prints the report; 1 when there is a fault, else 0. Files before the first option are configurations."""
    silence_messages()
    files = list(takewhile(lambda word: not word.startswith("-"), args))
    found = DoctorCLI(command, [*(word for file in files for word in ("--config", file)), *args[len(files) :]])
    print(report(found.findings))
    return 1 if faults(found.findings) else 0
