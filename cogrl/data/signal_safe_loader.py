"""A data loader whose worker processes block the signals that stop a run; the main process handles them."""

import atexit
import signal
import weakref
from typing import Any

from torch.utils.data import DataLoader

from cogrl.parent_process import end_with_parent

_BLOCKED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SignalSafeLoader(DataLoader):
    """Ctrl-C, SIGTERM and SIGHUP reach every process of a terminal or a job; only the main one decides what follows.

    Workers inherit a mask that blocks these signals, from their first moment on. They end when the main process closes
    the loader, when it exits (at once: they hold nothing that would have to be kept), or soon after it was killed:
    PyTorch's own watch does not help a worker that waits to hand over a batch.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, worker_init_fn=watch_parent, **kwargs)

    def __iter__(self) -> Any:
        known = getattr(self, "_iterator", None)  # persistent workers are started once
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        try:
            batches = super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for worker in () if batches is known else getattr(batches, "_workers", ()):
            atexit.register(end, weakref.ref(worker))
        return batches


def watch_parent(worker_id: int) -> None:
    """The `worker_init_fn` of the loader."""
    end_with_parent()


def end(worker: weakref.ref) -> None:
    """Kill a worker that is still there: at exit Python sends SIGTERM, which is blocked, and waits for ever."""
    process = worker()
    if process is not None and process.is_alive():
        process.kill()
