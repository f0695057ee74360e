"""What the tests of several experiments need: their script as a module, and the settings of a fit."""

import contextlib
import importlib.util
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from cogrl.cli.main import main

ROOT = Path(__file__).parents[1]


@pytest.fixture
def in_the_repository(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def module(request) -> ModuleType:
    """The script `run.py` beside the test."""
    folder = request.path.parent
    spec = importlib.util.spec_from_file_location(f"run_{folder.name}", folder / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def printed() -> Callable[[Sequence[str]], dict]:
    """`printed(args)`: the configuration that `--print_config` shows."""

    def printed(args: Sequence[str]) -> dict:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as stop:
            main([*args, "--print_config"])
        assert not stop.value.code
        return yaml.safe_load(out.getvalue())

    return printed
