"""`cogrl fit | validate | test | predict`: constructor arguments from YAML, one run folder, one MLflow run."""

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import jsonargparse
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from pytorch_lightning.utilities.model_helpers import is_overridden
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from cogrl.callbacks.checkpoint import LastCheckpoint
from cogrl.callbacks.ending import Ending
from cogrl.callbacks.export import Export
from cogrl.callbacks.mlflow_logger import MLflowLogger
from cogrl.callbacks.progress import ProgressLines, StepBar
from cogrl.callbacks.rollout_table import RolloutTable
from cogrl.callbacks.run_record import RunRecord
from cogrl.callbacks.stop import AgreedStop
from cogrl.cli.errors import report
from cogrl.cli.fit.checkpoints import chosen_checkpoint, last_checkpoint, mlflow_run_of, refuse_foreign
from cogrl.cli.fit.explain import empty_groups, explain
from cogrl.cli.fit.explain_class import left_open
from cogrl.cli.fit.nulls import with_nulls
from cogrl.cli.fit.signals import graceful_signals
from cogrl.cli.fit.slurm import leave_requeueing_to_slurm, requeued
from cogrl.cli.quiet import ask_for_no_workers, silence_messages
from cogrl.cli.run_folder import refuse_to_mix, set_aside, sole_writer
from cogrl.data.module import AudioData
from cogrl.doctor.before_fit import Doctor, ExaminingTrainer
from cogrl.models.audio_lm import AudioLM
from cogrl.models.check import check_policy
from cogrl.parent_process import end_with_parent
from cogrl.ranks import gathered, leave
from cogrl.stages import Stage
from cogrl.stages.sharding import refuse_four_bit, refuse_plain_sharding


class StageParser(LightningArgumentParser):
    """Reports what it can not parse as a ValueError."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:
            super().error(message, ex)
        raise ValueError(message) from ex


class StageCLI(LightningCLI):
    """LightningCLI with a run folder, and with the callbacks and the logger every run has."""

    def __init__(self, command: str, args: Sequence[str]) -> None:
        self.command = command
        jsonargparse.set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
        super().__init__(
            Stage,
            AudioData,
            trainer_class=ExaminingTrainer,
            subclass_mode_model=True,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            save_config_callback=RunRecord,
            parser_class=StageParser,
            parser_kwargs={"parser_mode": "omegaconf+", "prog": "cogrl"},
            args=[command, *args],
        )

    def subcommands(self) -> dict[str, set[str]]:
        given_here = {"doctor": {"model", "datamodule", "device_gib", "elsewhere"}}
        return {self.command: (LightningCLI.subcommands() | given_here)[self.command]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--run_dir", type=str, default="runs/run", help="folder of everything this run writes")
        parser.add_argument("--overwrite", type=bool, default=False, help="set an earlier run in run_dir aside")
        parser.add_argument("--doctor", action="store_true", help="the doctor's cheap checks before the first step")
        parser.add_argument("--device_gib", type=float | None, default=None, help="for the doctor: memory of a device")
        parser.add_lightning_class_args(LastCheckpoint, "checkpoint")
        parser.add_lightning_class_args(RolloutTable, "rollout_table")
        parser.add_lightning_class_args(Export, "export")
        parser.add_class_arguments(MLflowLogger, "mlflow", instantiate=False)

    def parse_arguments(self, parser: LightningArgumentParser, args: Sequence[str]) -> None:
        try:
            self.config = parser.parse_args(with_nulls(args))
        except (ValueError, OmegaConfBaseException) as error:
            message = explain(str(error), args[1:], self._parser(self.command))
        else:
            wrong = chain(
                empty_groups(args[1:], self._parser(self.command)), left_open(self.config[self.command].as_dict())
            )
            message = next(wrong, None)
        if message is not None:
            raise ValueError(message)

    def _parse_ckpt_path(self) -> None:
        """Does nothing: the configuration comes from YAML, never from a checkpoint."""

    def before_instantiate_classes(self) -> None:
        self.run_dir = Path(self.config[self.command].run_dir).absolute()
        check_writable(self.run_dir)

    def instantiate_classes(self) -> None:
        super().instantiate_classes()
        self.check_policies()

    def check_policies(self) -> None:
        """Now, and not after all data were read."""
        for part in self.model.modules():
            if isinstance(part, AudioLM):
                check_policy(part)
        refuse_four_bit(self.model, self.trainer.strategy)
        if getattr(self.model, "reference", None):
            self.model.reference.check()

    def instantiate_trainer(self, **kwargs: Any):
        trainer, settings = self._get(self.config_init, "trainer"), self._get(self.config_init, "mlflow").as_dict()
        self.stop = AgreedStop()
        self.trainer_defaults["callbacks"] = [self.stop, Ending(report)]
        if self._get(self.config, "doctor") and self.command == "fit":
            self.trainer_defaults["callbacks"].append(Doctor(self._get(self.config, "device_gib")))
        if trainer.logger is None:
            name = self.run_dir.name if self.command == "fit" else f"{self.run_dir.name} {self.command}"
            resumed = mlflow_run_of(self.checkpoint) if self.checkpoint and self.command == "fit" else None
            settings["run_name"] = settings["run_name"] or name
            settings["run_id"] = settings["run_id"] or resumed
            kwargs["logger"] = MLflowLogger(**settings)
        if self.datamodule.keep_in_memory:
            ask_for_no_workers()
        terminal = sys.stderr.isatty()
        if trainer.enable_progress_bar is None and (self.command == "fit" or not terminal):
            kwargs["enable_progress_bar"] = False
            self.trainer_defaults["callbacks"].append(StepBar() if terminal else ProgressLines())
        try:
            found = super().instantiate_trainer(default_root_dir=str(self.run_dir), **kwargs)
        except (ValueError, MisconfigurationException) as error:
            raise ValueError(
                f"Lightning refuses these trainer settings: {error} (without a GPU: --config configs/trainer/cpu.yaml; "
                "on several: ddp.yaml, zero1.yaml, zero2.yaml, zero3.yaml or fsdp.yaml there, see docs/scaling.md)"
            ) from error
        refuse_plain_sharding(found.strategy)
        leave_requeueing_to_slurm(found)
        return found

    @cached_property
    def checkpoint(self) -> Path | None:
        given = self._get(self.config, "ckpt_path")
        if given is None and self.command == "fit" and requeued() and last_checkpoint(self.run_dir):
            given = "last"
        return chosen_checkpoint(given, self.run_dir)

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        return super()._prepare_subcommand_kwargs(subcommand) | {"ckpt_path": self.checkpoint and str(self.checkpoint)}

    def fit(self, **kwargs: Any) -> None:
        first = self.trainer.is_global_zero
        with sole_writer(self.run_dir) if first else nullcontext(), graceful_signals(self.trainer, self.stop):
            if self.checkpoint:
                refuse_foreign(self.checkpoint, self.model, self.trainer)
            if first:
                self.claim()
                print(f"run folder {self.run_dir}", flush=True)
            self.trainer.fit(**kwargs)

    def claim(self) -> None:
        """Lock the run folder for this run, or refuse to mix it with another run."""
        if self.checkpoint and self.checkpoint.resolve().is_relative_to(self.run_dir.resolve()):
            return
        if self._get(self.config, "overwrite") and (aside := set_aside(self.run_dir)):
            print(f"the earlier run is kept in {aside}")
        refuse_to_mix(self.run_dir)

    def validate(self, **kwargs: Any) -> None:
        with graceful_signals(self.trainer, self.stop):
            self.trainer.validate(**kwargs)

    def test(self, **kwargs: Any) -> None:
        with graceful_signals(self.trainer, self.stop):
            self.trainer.test(**kwargs)

    def before_validate(self) -> None:
        if not is_overridden("validation_step", self.model):
            raise ValueError(
                f"{type(self.model).__name__} has nothing to validate; grade its policy with: cogrl test (data.test)"
            )

    def predict(self, **kwargs: Any) -> None:
        with graceful_signals(self.trainer, self.stop):
            ranks = gathered(self.trainer.predict(**kwargs))
        if not self.trainer.is_global_zero:
            return
        in_turn = [batch for dealt in zip(*ranks, strict=True) for batch in dealt]  # the order of the manifest
        records = [record for batch in in_turn for record in batch]
        path = self.run_dir / "predictions.jsonl"
        path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
        print(f"{len(records)} answers written to {path}")


def main(command: str, args: Sequence[str]) -> int:
    silence_messages()
    if rank_zero_only.rank > 0:
        end_with_parent()  # a rank would wait for ever for a missing first rank
    StageCLI(command, args)
    leave()
    return 0


def check_writable(folder: Path) -> None:
    """Make the folder; raises PermissionError or another OSError, before anything is computed, if it is of no use."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, probe = tempfile.mkstemp(dir=folder)
        os.close(descriptor)
        os.unlink(probe)
    except OSError as error:
        raise type(error)(f"run_dir={str(folder)!r} is of no use: {error}; choose another with --run_dir") from error
