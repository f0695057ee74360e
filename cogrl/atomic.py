"""Files and folders that are complete or absent: written beside their place and moved there."""

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path: Path, exclusive: bool = False) -> Iterator[Path]:
    """Yields a free path beside `path`, to write a file or a folder to; it takes its place when the block ends.

    A reader never sees half of it. If the block raises, what it wrote is removed and `path` stays as it was.

    Args:
        exclusive: no other process writes `path` now, so what a killed one left beside it is removed first.
    """
    if exclusive:
        for left in path.parent.glob(f".{glob.escape(path.name)}.*.part*"):
            remove(left)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield unfinished
        move_into_place(unfinished, path)
    finally:
        remove(unfinished)


def move_into_place(new: Path, path: Path) -> None:
    """Rename `new` to `path`, on the same disk; a folder that is there is moved aside first and removed afterwards."""
    if not path.is_dir():
        os.replace(new, path)
        return
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.old-", dir=path.parent) as old:
        aside = Path(old) / path.name
        os.replace(path, aside)
        try:
            os.replace(new, path)
        except OSError:
            os.replace(aside, path)
            raise


def remove(path: Path) -> None:
    """A file or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
