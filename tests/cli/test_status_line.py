import sys
from pathlib import Path

import pytest

from cogrl.cli import status_line
from cogrl.cli.status_line import StatusLine, newest


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.txt"
    path.write_text("of an earlier run\nrun folder x\n")
    return path


@pytest.fixture
def no_wait(monkeypatch):
    monkeypatch.setattr(status_line, "_ELSEWHERE_S", 0.0)
    monkeypatch.setattr(status_line, "_ON_A_TERMINAL_S", 0.0)


def test_a_new_line_is_printed_once(log, no_wait, capsys):
    line = StatusLine("[1/2] sft", log, 18)
    for _ in range(3):
        line.update()
    with log.open("a") as file:
        file.write("step 5/10  train/loss 1\na warning\n")
    line.update()
    line.clear()
    assert capsys.readouterr().out == "[1/2] sft: run folder x\n[1/2] sft: step 5/10  train/loss 1\n"


def test_nothing_is_printed_before_it_is_time(log, capsys):
    StatusLine("[1/2] sft", log, 0).update()
    assert capsys.readouterr().out == ""


def test_a_terminal_sees_one_line_that_is_written_over_and_then_cleared(log, no_wait, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    line = StatusLine("[1/2] sft", log, 18)
    line.update()
    log.write_text("of an earlier run\nstep 6/10\n")
    line.update()
    line.clear()
    assert capsys.readouterr().out == "\r\x1b[K[1/2] sft: run fold\r\x1b[K[1/2] sft: step 6/1\r\x1b[K"


def test_a_log_with_nothing_new_has_no_newest_line(log):
    assert newest(log, log.stat().st_size) == ""
