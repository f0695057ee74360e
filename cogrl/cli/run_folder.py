"""The folder of a run: one living process writes it, and it holds one run."""

import fcntl
import os
import shutil
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = ".lock"
_RESULTS = ("checkpoints", "export")


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """The right to write a folder, which is made if need be. Raises ValueError naming the process that has it.

    The operating system releases it when the process ends, however that happens; workers that it forked do not keep it.
    On a file system without locks this can not be checked, and a warning says so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / _LOCK
    with open(lock, "a+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            file.seek(0)
            raise ValueError(
                f"{folder} is being written by {file.read().strip() or 'another process'}; wait for it or stop it, or "
                "choose another folder"
            ) from error
        except OSError as error:
            warnings.warn(
                f"{folder}: its file system has no locks ({error}); make sure that no other process writes to it",
                stacklevel=3,
            )
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


def holds_a_run(folder: Path) -> bool:
    """Whether there is something of a run in a folder that a new one would mix with."""
    return any((folder / name).is_dir() and any((folder / name).iterdir()) for name in _RESULTS)


def refuse_to_mix(folder: Path) -> None:
    """Raises ValueError with the two ways out when a new run would be written over another one."""
    if holds_a_run(folder):
        raise ValueError(
            f"run_dir={str(folder)!r} holds an earlier run: go on with it (--ckpt_path last), or begin anew with "
            "--overwrite, which sets it aside, or with another --run_dir"
        )


def set_aside(folder: Path) -> Path | None:
    """Move what a folder holds to `NAME.replaced`, where only the latest run is kept; None when it holds no run.

    What an attempt has left that ended before it kept anything stays: it must not take the place of a run.
    """
    if not holds_a_run(folder):
        return None
    aside = folder.with_name(f"{folder.name}.replaced")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    for path in list(folder.iterdir()):
        if path.name != _LOCK:
            path.rename(aside / path.name)
    return aside
