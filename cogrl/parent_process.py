"""Processes that end with the one that started them, also when that one was killed."""

import os
import signal
import threading
import time

_LOOK_EVERY_S = 0.5


def end_with_parent() -> None:
    """Kill this process, half a second later at most, when the one that started it is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY_S)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="end with parent").start()
