"""The demo's own pipeline file, every step of it, with one optimiser step a stage on the small corpus."""

import shutil
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from cogrl.cli.main import main

ROOT = Path(__file__).parents[3]
ONE_STEP = {"trainer.max_steps": 1, "data.batch_size": 4}


@pytest.mark.slow
def test_the_demo_pipeline_goes_from_corpus_to_report(smoke_corpus, small_model, workdir, capfd):
    (workdir / "configs").symlink_to(ROOT / "configs")
    shutil.copytree(smoke_corpus, workdir / "data/lime-mini")
    pipeline = yaml.safe_load((ROOT / "configs/pipelines/demo.yaml").read_text())
    steps = {step["name"]: step for step in pipeline["steps"]}
    pipeline["steps"].remove(steps["corpus"])  # there already: the full one takes a minute
    steps["model"]["command"] += small_model
    for name in ("perceive", "sft", "dr_sapo"):
        steps[name]["fit"]["overrides"] |= ONE_STEP
    steps["dr_sapo"]["fit"]["overrides"] |= {"model.group_size": 2, "model.sampling.max_new_tokens": 4}
    report = steps["report"]["command"]
    report[report.index("--max-new-tokens") + 1] = "4"
    (workdir / "demo.yaml").write_text(yaml.safe_dump(pipeline))
    assert main(["run", "demo.yaml"]) == 0, capfd.readouterr()
    assert "| dr_sapo |" in (workdir / "runs/demo/report/report.md").read_text()
    assert "on 14 other clips with polar words" in (workdir / "runs/demo/report/report.md").read_text()
    client = MlflowClient(f"sqlite:///{workdir}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("cogrl").experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    nested = {run.info.run_name for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id}
    assert nested == {"perceive", "sft", "dr_sapo", "evaluate"}
    assert main(["run", "demo.yaml"]) == 0
    printed = capfd.readouterr().out
    assert printed.count("unchanged, skipped") == 5
    _, _, short = printed.partition("all 5 steps done")
    assert short.endswith((workdir / "runs/demo/report/summary.txt").read_text()) and "| dr_sapo |" not in printed
    assert "full report           runs/demo/report/report.md\nabout the corpus      data/lime-mini/CARD.md\n" in short
