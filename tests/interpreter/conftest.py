"""Triton kernels on a CPU, in Triton's interpreter: `TRITON_INTERPRET=1 pytest tests/interpreter`.

In a process of their own: the variable is read when Triton is imported, and it would take the compiler away from every
other test. Without it, or without Triton 3.9 or later (the interpreter of 3.6 fails on a loop with a run-time count
under a recent NumPy), nothing here is collected, and the summary says so.
"""

import importlib.metadata
import os

import pytest


def triton_version() -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in importlib.metadata.version("triton").split(".")[:2])
    except importlib.metadata.PackageNotFoundError:
        return (0,)


INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1" and triton_version() >= (3, 9)
collect_ignore_glob = [] if INTERPRETED else ["test_*.py"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not INTERPRETED:
        terminalreporter.write_line(
            "tests/interpreter was left out; install triton>=3.9 and run: TRITON_INTERPRET=1 pytest tests/interpreter"
        )
