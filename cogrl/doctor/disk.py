"""Whether the disk of the run folder takes its checkpoints and its export."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from cogrl.callbacks.checkpoint import LastCheckpoint
from cogrl.callbacks.export import Export
from cogrl.doctor.case import Case
from cogrl.doctor.finding import Finding
from cogrl.doctor.memory import state_bytes, weights_of
from cogrl.doctor.memory_check import gib, is_half
from cogrl.parallel.shares import Shares, shares_of


def room_on_disk(case: Case) -> Iterable[Finding]:
    """Room for the checkpoints that stand side by side while one is written, and for the export and its copy."""
    name, folder = "disk", nearest_folder(case.run_dir)
    if not os.access(folder, os.W_OK):
        yield Finding(name, "fault", f"{folder} can not be written to", "choose another folder with --run_dir")
        return
    whole = Shares(master=shares_of(case.trainer.strategy, 1).master)
    state = state_bytes(weights_of(case.policy, is_half(case)), whole)
    callbacks = case.trainer.callbacks
    side_by_side = max((2 + c.keep_previous for c in callbacks if isinstance(c, LastCheckpoint)), default=0)
    exports = max((c.enabled * (1 + c.to_mlflow) for c in callbacks if isinstance(c, Export)), default=0)
    export = sum(w.numbers * w.bytes_each for w in weights_of(case.policy))
    needed = side_by_side * (state.weights + state.optimizer) + exports * export
    free = shutil.disk_usage(folder).free
    seen = (
        f"{side_by_side} checkpoints of {gib(state.weights + state.optimizer)} and {exports} copies of the export of "
        f"{gib(export)}, {gib(needed)} in all; {folder} has {gib(free)} free"
    )
    if needed > free:
        advice = (
            "make room, choose another disk with --run_dir, or set checkpoint.keep_previous or export.to_mlflow: false"
        )
        yield Finding(name, "fault", seen, advice)
    else:
        yield Finding(name, "ok", seen)


def nearest_folder(path: Path) -> Path:
    """The innermost folder above or at `path` that is there."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())
