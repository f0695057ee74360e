"""Echo's pipelines: the paper's settings fit together."""

from pathlib import Path

import pytest

from cogrl.cli.main import main

ROOT = Path(__file__).parents[3]


@pytest.fixture
def corpus(workdir):
    (workdir / "configs").symlink_to(ROOT / "configs")
    assert main(["build", "eaqa", "--tier", "smoke", "--out", "data/eaqa-mini", "--workers", "1"]) == 0
    return workdir / "data" / "eaqa-mini"


def test_the_papers_settings_fit_together(corpus, tiny_omni_dir, capsys):
    given = (f"vars.corpus={corpus}", f"vars.model={tiny_omni_dir}")
    status = main(
        ["run", "configs/pipelines/echo.yaml", "--dry-run", *(w for change in given for w in ("--set", change))]
    )
    out = capsys.readouterr().out
    assert status == 0 and "echo: all 3 steps fit together; nothing was run" in out
