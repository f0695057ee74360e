"""How far a long loop is: tqdm's moving bar on a terminal, and elsewhere one plain line now and then."""

import sys
from collections.abc import Iterable
from io import TextIOBase
from typing import Any

from tqdm import tqdm

_LINE_EVERY_S = 10.0
_LINE = "{desc}: {n_fmt} of {total_fmt} ({percentage:.0f} %), {elapsed} so far, {remaining} left{postfix}"


class WholeLines:
    """A stream for tqdm that ends each line instead of writing over it."""

    def __init__(self, stream: TextIOBase) -> None:
        self.stream = stream

    def write(self, text: str) -> None:
        line = text.strip()
        if line:
            self.stream.write(f"{line}\n")

    def flush(self) -> None:
        self.stream.flush()


def progress(items: Iterable | None = None, desc: str = "", total: int | None = None, unit: str = "it") -> tqdm:
    """A tqdm over `items`, or one of `total` steps that its `update` counts, on standard error.

    Where that is no terminal, as in the log of a pipeline's step, it writes a line each ten seconds and one at the end;
    a loop that is over by then leaves no line.
    """
    shown: dict[str, Any] = {"desc": desc, "total": total, "unit": unit}
    if not sys.stderr.isatty():
        lines = {"file": WholeLines(sys.stderr), "bar_format": _LINE}
        shown |= lines | {"mininterval": _LINE_EVERY_S, "delay": _LINE_EVERY_S, "miniters": 1}
    return tqdm(items, **shown)
