import io
import sys

import pytest

from cogrl import progress as module
from cogrl.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def at_once(monkeypatch):
    """A log, in which a line is due after no time at all."""
    monkeypatch.setattr(module, "_LINE_EVERY_S", 1e-9)


def test_a_log_holds_whole_lines_up_to_the_last_one(at_once, capsys):
    assert list(progress(iter(range(4)), "clips", 4, unit="clip")) == [0, 1, 2, 3]
    message = capsys.readouterr().err
    lines = message.splitlines()
    assert "\r" not in message and all(line.startswith("clips: ") for line in lines)
    assert lines[-1].startswith("clips: 4 of 4 (100 %)")


def test_a_count_of_more_than_one_is_shown_as_it_is(at_once, capsys):
    with progress(desc="answers", total=100, unit="answer") as bar:
        bar.update(84)
        bar.update(16)
    lines = [line.split(",")[0] for line in capsys.readouterr().err.splitlines()]
    assert lines[0] == "answers: 84 of 100 (84 %)" and lines[-1] == "answers: 100 of 100 (100 %)"


def test_thousands_of_quick_items_leave_no_line_in_a_log(capsys):
    assert sum(1 for _ in progress(range(5000), "clips")) == 5000
    assert capsys.readouterr().err == ""


def test_a_terminal_has_a_moving_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    list(progress(range(3), "clips"))
    assert "\rclips: 100%" in sys.stderr.getvalue() and sys.stderr.getvalue().count("\n") == 1
