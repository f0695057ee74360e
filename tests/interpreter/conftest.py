"""Triton kernels on a CPU, in Triton's interpreter: `TRITON_INTERPRET=1 pytest tests/interpreter`.

In a process of their own: the variable is read when Triton is imported, and it would take the compiler away from every
other test. Without it, or without Triton, nothing here is collected, and the summary says so.
"""

import importlib.util
import os

import pytest

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1" and importlib.util.find_spec("triton") is not None
collect_ignore_glob = [] if INTERPRETED else ["test_*.py"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not INTERPRETED:
        terminalreporter.write_line(
            "tests/interpreter was left out; install triton and run: TRITON_INTERPRET=1 pytest tests/interpreter"
        )
