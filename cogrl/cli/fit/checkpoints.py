"""Which checkpoint a run goes on from, and whether it is one of that run."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DeepSpeedStrategy

from cogrl.callbacks.checkpoint_files import folder_of, kept
from cogrl.callbacks.run_record import RunRecord, identity, strategy_name

_SHARDS = "checkpoint/*model_states.pt"
"""What DeepSpeed writes into the folder of a checkpoint: of stage 3 one file a rank, else one. Each holds all but the
weights."""
_OF_EACH_RANK = "checkpoint/*optim_states.pt"
"""One of these is written by each rank, whatever the stage."""


def chosen_checkpoint(given: str | None, run_dir: Path) -> Path | None:
    """The checkpoint that `--ckpt_path` names; `last` is the newest of the run folder that can be read.

    Raises FileNotFoundError when there is none, ValueError for a damaged one, naming the last good one.
    """
    if given is None:
        return None
    path = last_checkpoint(run_dir) if given == "last" else Path(given)
    if path is None or not path.exists():
        raise FileNotFoundError(
            f"--ckpt_path {given}: {path or folder_of(run_dir)} holds no checkpoint that can be read; leave the "
            "option out to start afresh"
        )
    if read_checkpoint(path) is None:
        other = last_checkpoint(run_dir)
        advice = f"the last good one is {other}: --ckpt_path last" if other else "begin anew without --ckpt_path"
        raise ValueError(f"--ckpt_path {given}: {path} is damaged or no checkpoint of cogrl; {advice}")
    return path


def last_checkpoint(run_dir: Path) -> Path | None:
    """The newest readable checkpoint of a run folder; None when there is none. Says which ones it passes over."""
    for path in kept(folder_of(run_dir)):
        if read_checkpoint(path) is not None:
            return path
        print(f"{path} is damaged and passed over", flush=True)
    return None


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """What a checkpoint holds, its tensors left on disk; None for one that is cut or no checkpoint.

    Of a whole one in which a callback keeps objects that are not loaded unseen, nothing. Of a folder, what the first
    rank has written; it is cut where the file of any rank is cut or missing.
    """
    if path.is_dir():
        shards = sorted(path.glob(_SHARDS))
        whole = shards and all(zipfile.is_zipfile(file) for file in path.glob("checkpoint/*.pt"))
        found = read_checkpoint(shards[0]) if whole else None
        return found if found and len(list(path.glob(_OF_EACH_RANK))) == _noted(found).get("world_size") else None
    try:
        return torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except pickle.UnpicklingError:
        return {} if zipfile.is_zipfile(path) else None
    except Exception:  # torch raises whatever its readers of zip and pickle do
        return None


def mlflow_run_of(checkpoint: Path) -> str | None:
    """The MLflow run a checkpoint belongs to; None when it names none."""
    return record_of(checkpoint).get("mlflow_run_id")


def record_of(checkpoint: Path) -> dict[str, Any]:
    """What the run record has noted in a checkpoint."""
    return _noted(read_checkpoint(checkpoint) or {})


def _noted(found: dict[str, Any]) -> dict[str, Any]:
    return found.get("callbacks", {}).get(RunRecord.__name__, {})


def refuse_foreign(checkpoint: Path, stage: pl.LightningModule, trainer: pl.Trainer) -> None:
    """Raises ValueError when training can not go on from a checkpoint: of another stage, strategy or size.

    A run goes on as it was: the order of the clips and the optimiser's state belong to one number of processes.
    """
    strategy = strategy_name(trainer)
    if checkpoint.is_dir() and not isinstance(trainer.strategy, DeepSpeedStrategy):
        raise ValueError(
            f"{checkpoint} is a folder, as sharded strategies write it; {strategy} reads a file: use the strategy that "
            "wrote it, or start a new run from the export of this one"
        )
    if checkpoint.is_file() and isinstance(trainer.strategy, DeepSpeedStrategy):
        raise ValueError(
            f"{checkpoint} is a file; {strategy} reads a folder: use the strategy that wrote it, or start a new run "
            "from the export of this one"
        )
    noted = record_of(checkpoint)
    for name, value in identity(trainer, stage).items():
        if noted.get(name, value) != value:
            raise ValueError(
                f"{checkpoint} was written with {name} {noted[name]}, this run has {value}: a checkpoint resumes its "
                "own run only; a new run starts from the export of another (model.policy.path)"
            )
