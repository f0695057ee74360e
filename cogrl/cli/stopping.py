"""The signals that stop a command. Imports nothing heavy."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOPPED = tuple(128 + number for number in STOPPING)
"""Exit statuses of what a signal has stopped."""


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Stopping signals go to `handler`, but for those that this process was started to ignore (nohup, `&`)."""
    previous = {number: signal.getsignal(number) for number in STOPPING}
    for number, before in previous.items():
        if before is not signal.SIG_IGN:
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


def leave(number: int, frame: FrameType | None) -> None:
    """A handler that ends the command at once, its contexts closed, with 128 + the number of the signal."""
    raise SystemExit(128 + number)


def end_with_standard_input() -> None:
    """SIGTERM to this process as soon as its standard input is closed."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="end with standard input").start()
