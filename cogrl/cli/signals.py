"""Stopping a training run from outside: the step in hand is finished, the checkpoint written, the tracker told."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytorch_lightning as pl
from pytorch_lightning.utilities.exceptions import SIGTERMException


@contextmanager
def graceful_signals(trainer: pl.Trainer) -> Iterator[None]:
    """Ctrl-C and SIGTERM end training after the current step; a second Ctrl-C at once.

    Lightning itself turns SIGTERM into an exception between two steps, but only once its loop runs; until then (weights
    and data are being read) the signal stops the process here. Exit status 130 for Ctrl-C, 143 for SIGTERM.
    """
    by_keyboard = False

    def on_terminate(number: int, frame: FrameType | None) -> None:
        if not trainer.received_sigterm:  # Lightning's own handler, when it is in place, has set this before
            raise SystemExit(143)

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal by_keyboard
        by_keyboard = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("\nstopping after this step; Ctrl-C again stops at once", file=sys.stderr, flush=True)
        signal.raise_signal(signal.SIGTERM)

    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, on_terminate)
    if previous[signal.SIGINT] is not signal.SIG_IGN:  # a shell's background job does not listen to Ctrl-C
        signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    except SystemExit as stop:
        if isinstance(stop, SIGTERMException) or stop.code in (1, 143):
            print(f"stopped at step {trainer.global_step}; the same command with --ckpt_path last goes on from here")
            raise SystemExit(130 if by_keyboard else 143) from stop
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
