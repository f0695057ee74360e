"""Echo's pipelines: the paper's settings fit together, and the small one runs to its reports in two steps a stage."""

import json
from pathlib import Path

import pytest
import yaml

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


@pytest.mark.slow
def test_the_small_pipeline_runs_from_its_corpus_to_its_reports(corpus, workdir):
    pipeline = yaml.safe_load((workdir / "configs/pipelines/echo_mini.yaml").read_text())
    pipeline["steps"] = [step for step in pipeline["steps"] if step["name"] != "corpus"]
    for step in pipeline["steps"]:
        if "fit" in step:
            step["fit"]["overrides"] |= {"trainer.max_steps": 2, "data.batch_size": 2}
        if "evaluate" in step.get("command", []):
            step["command"] = [*step["command"], "--limit", "4"]
    (workdir / "small.yaml").write_text(yaml.safe_dump(pipeline))
    assert main(["run", "small.yaml"]) == 0
    report = json.loads((workdir / "runs/echo_mini/seed0/report/report.json").read_text())
    assert {"sft_on", "sft_off", "grpo_on"} <= set(report["policies"])
    assert "echo_segments_inserted" in report["policies"]["sft_on"]
