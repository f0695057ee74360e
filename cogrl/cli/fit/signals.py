"""Stopping a stage from outside: Ctrl-C, SIGTERM, and the SIGHUP of a terminal that closes."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytorch_lightning as pl
from pytorch_lightning.utilities.exceptions import SIGTERMException

from cogrl.callbacks.checkpoint_files import folder_of, kept
from cogrl.callbacks.stop import AgreedStop
from cogrl.cli.stopping import handled


@contextmanager
def graceful_signals(trainer: pl.Trainer, stop: AgreedStop) -> Iterator[None]:
    """A signal ends training after the current step, on all ranks; anything else at once, and a second Ctrl-C, too.

    Leaves by SystemExit with 128 + the number of the signal: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP. After an
    agreed stop the first process of a machine alone does: it is killed by Lightning as soon as one that it has started
    ends with another status than 0, though it may still be telling the tracker of the end.
    """

    def on_signal(number: int, frame: FrameType | None) -> None:
        second_interrupt = number == signal.SIGINT and stop.requested and trainer.local_rank == 0
        if second_interrupt or not stop.active:
            raise SystemExit(128 + number)
        stop.request(number)
        if trainer.local_rank == 0:
            print("\nstopping after this step; Ctrl-C again stops at once", file=sys.stderr, flush=True)

    try:
        with handled(on_signal):
            yield
    except SIGTERMException as end:
        if trainer.is_global_zero:
            held = kept(folder_of(Path(trainer.default_root_dir)))
            then = "the same command with --ckpt_path last goes on" if held else "no checkpoint was written"
            print(f"stopped at step {trainer.global_step}; {then}")
        raise SystemExit(128 + stop.agreed if trainer.local_rank == 0 else 0) from end
