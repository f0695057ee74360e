"""How a run came about: its configuration, its environment, and the MLflow run it belongs to."""

import hashlib
import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import SaveConfigCallback
from torch import nn

from cogrl.callbacks.mlflow_logger import MLflowLogger

_PACKAGES = (
    *("cogrl", "torch", "pytorch-lightning", "transformers", "jsonargparse", "omegaconf", "mlflow", "numpy"),
    *("soundfile", "soxr", "peft", "bitsandbytes", "triton", "deepspeed", "flash-attn"),
)


class RunRecord(SaveConfigCallback):
    """`config.yaml` and `environment.json` in the run folder and in MLflow.

    Every checkpoint says which stage wrote it, in how many processes, under which strategy, and its MLflow run.
    """

    def __init__(self, parser, config, **kwargs: Any) -> None:
        super().__init__(parser, config, save_to_log_dir=False, **kwargs)
        self.loggers: list[MLflowLogger] = []
        self.ran: dict[str, Any] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.loggers = mlflow_loggers(trainer)
        self.ran = identity(trainer, pl_module)
        super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        folder = Path(trainer.default_root_dir)
        prefix = "" if stage == "fit" else f"{stage}."  # a test in the folder of a fit leaves the fit's record alone
        config, surroundings = folder / f"{prefix}config.yaml", folder / f"{prefix}environment.json"
        config.write_text(self.parser.dump(self.config, skip_unset=False))
        record = environment() | {"code_of_model_folders": model_code(pl_module)}
        surroundings.write_text(json.dumps(record, indent=1) + "\n")
        for logger in self.loggers:
            if not logger.resumes:
                logger.log_hyperparams(flat(self.config.as_dict()))
            logger.log_file(config)
            logger.log_file(surroundings)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Metrics are logged at the optimiser step: Lightning counts one too many once stopped at an epoch's end."""
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step

    def state_dict(self) -> dict[str, Any]:
        return self.ran | {"mlflow_run_id": next((logger.run_id for logger in self.loggers), None)}


def identity(trainer: pl.Trainer, stage: pl.LightningModule) -> dict[str, Any]:
    """What has to be the same for a run to go on from its checkpoint."""
    return {"stage": class_path(stage), "strategy": strategy_name(trainer), "world_size": trainer.world_size}


def class_path(value: Any) -> str:
    """The full name of an object's class, as YAML spells it."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def strategy_name(trainer: pl.Trainer) -> str:
    """By which checkpoints are told apart: a strategy reads its own alone, and ZeRO those of its stage."""
    return getattr(trainer.strategy, "name", type(trainer.strategy).__name__)


def mlflow_loggers(trainer: pl.Trainer) -> list[MLflowLogger]:
    return [logger for logger in trainer.loggers if isinstance(logger, MLflowLogger)]


def environment() -> dict[str, Any]:
    """Versions, machine, code and command of this process."""
    versions = {name: version_of(name) for name in _PACKAGES}
    return {
        "command": sys.argv,
        "directory": os.getcwd(),
        "git": git_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "packages": {name: version for name, version in versions.items() if version},
    }


def model_code(module: nn.Module) -> dict[str, dict[str, str]]:
    """SHA-256 of the Python files in each model folder whose code a policy in `module` was told to run."""
    trusting = {part.path for part in module.modules() if getattr(part, "trust_remote_code", False)}
    files = {path: sorted(Path(path).glob("*.py")) for path in sorted(trusting)}
    return {
        path: {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in found}
        for path, found in files.items()
    }


def version_of(package: str) -> str | None:
    """The installed version, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def git_commit() -> str | None:
    """The commit of the working directory, `+changes` appended when files differ from it; None outside a checkout."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run(["git", "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+changes" if changes.stdout.strip() else "")


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots."""
    found = {}
    for key, value in config.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
