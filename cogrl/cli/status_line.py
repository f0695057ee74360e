"""What the step of a pipeline is at, told while it runs."""

import shutil
import sys
import time
from pathlib import Path

_ON_A_TERMINAL_S, _ELSEWHERE_S = 1.0, 20.0


class StatusLine:
    """The newest line of a log: written over itself each second on a terminal, elsewhere each 20 s where it is new."""

    def __init__(self, label: str, log: Path, offset: int) -> None:
        self.label, self.log, self.offset = label, log, offset
        self.moves = sys.stdout.isatty()
        self.every_s = _ON_A_TERMINAL_S if self.moves else _ELSEWHERE_S
        self.looked_s, self.shown = time.monotonic(), ""

    def update(self) -> None:
        """Shows the newest line when it is time to look again."""
        if time.monotonic() - self.looked_s < self.every_s:
            return
        self.looked_s, line = time.monotonic(), newest(self.log, self.offset)
        if line == self.shown:
            return
        self.shown, text = line, f"{self.label}: {line}"
        if self.moves:
            text = "\r\x1b[K" + text[: shutil.get_terminal_size().columns - 1]
        print(text, end="" if self.moves else "\n", flush=True)

    def clear(self) -> None:
        """Leaves the line empty for what is printed next."""
        if self.moves:
            print("\r\x1b[K", end="", flush=True)


def newest(log: Path, offset: int) -> str:
    """The last progress line of training that a child has written since `offset`, else its last line; "" for none."""
    with log.open("rb") as file:
        file.seek(offset)
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    steps = [line for line in lines if line.startswith("step ")]
    return (steps or lines or [""])[-1]
