"""The files of a run's checkpoints: their names, and which are there. Imports nothing heavy."""

from pathlib import Path

LAST, PREVIOUS, UNFINISHED = "last.ckpt", "previous.ckpt", "last.ckpt.part"


def folder_of(run_dir: Path) -> Path:
    """Where a run keeps its checkpoints."""
    return run_dir / "checkpoints"


def kept(folder: Path) -> list[Path]:
    """The checkpoints in a folder, newest first, readable or not."""
    return [folder / name for name in (LAST, PREVIOUS) if (folder / name).exists()]
