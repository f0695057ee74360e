"""A loader whose worker processes leave signals to the main process."""

import signal
from typing import Any

from torch.utils.data import DataLoader


class SignalSafeLoader(DataLoader):
    """Ctrl-C, SIGTERM and SIGHUP reach every process of a terminal or a job; only the main one decides what follows.

    Workers inherit a mask that blocks these signals, from their first moment on. They end when the main process closes
    the loader, or, if it was killed, when they notice that it is gone.
    """

    def __iter__(self) -> Any:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
        try:
            return super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
