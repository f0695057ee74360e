"""What a command shows: the configuration it prints, the sentence it ends with."""

import contextlib
import io

import pytest
import yaml

from cogrl.cli.main import main


def printed(args: list[str]) -> dict:
    """The configuration `--print_config` shows."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as stop:
        main([*args, "--print_config"])
    assert stop.value.code in (0, None)
    return yaml.safe_load(out.getvalue())


def complaint(args: list[str], capsys: pytest.CaptureFixture) -> str:
    """What stands on stderr after a user error; it must be short and without a traceback."""
    assert main(args) == 2
    text = capsys.readouterr().err
    assert text.startswith("cogrl: error: ")
    assert "Traceback" not in text
    assert len(text.splitlines()) <= 22 and max(map(len, text.splitlines())) < 1000  # paths may be long
    return text
