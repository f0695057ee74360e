"""Checkpoint files straight to their folder: no copy in memory, none in the folder for temporary files."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from cogrl.callbacks.checkpoint_files import UNFINISHED


class DirectCheckpointIO(TorchCheckpointIO):
    """Writes with `torch.save` and fsync. A failure is kept in `failure`, so that all ranks can be told.

    Raising here would leave the other ranks waiting for this one: only one of them writes. That holds for the file that
    `LastCheckpoint` asks about; checkpoints of others, such as Lightning's own callbacks, are written as ever.
    """

    def __init__(self) -> None:
        self.failure: str | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        if Path(path).name != UNFINISHED:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        self.failure = None
        try:
            with open(path, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError, or as two
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, OSError):
                cause = cause.__context__
            self.failure = str(cause or error).splitlines()[0]


def free_space(folder: Path) -> str:
    """The free space on the disk of a folder, as text."""
    return f"{shutil.disk_usage(folder).free / 2**30:.2f} GiB free"
