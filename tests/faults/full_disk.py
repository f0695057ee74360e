"""A disk that is full from the n-th write on."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class FullDisk:
    """Counts the files opened for writing and the folders made under one folder; all but the first few are refused.

    Python announces each before it happens (`sys.addaudithook`, for the rest of the process). What libraries write from
    C is not seen.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.room: int | None = None
        self.writes = 0
        sys.addaudithook(self)

    def __call__(self, event: str, args: tuple) -> None:
        if self.folder is None or not is_write(event, args):
            return
        if isinstance(args[0], str | bytes | os.PathLike):
            path = Path(os.fsdecode(args[0])).absolute()
            if path.is_relative_to(self.folder):
                self.writes += 1
                if self.room is not None and self.writes > self.room:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    @contextmanager
    def full_after(self, room: int | None, folder: Path) -> Iterator[None]:
        """Within this context `folder` takes `room` writes; None: all of them, they are only counted."""
        self.folder, self.room, self.writes = folder, room, 0
        try:
            yield
        finally:
            self.folder = None


def is_write(event: str, args: tuple[Any, ...]) -> bool:
    if event == "os.mkdir":
        return True
    if event != "open":
        return False
    _, mode, flags = args
    return any(letter in mode for letter in "wax+") if mode else bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
