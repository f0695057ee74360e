"""The controller and the engine of docs/controllers.md, from YAML."""

import json
import re
import sys
from pathlib import Path

import yaml
from mlflow import MlflowClient

from cogrl.cli.main import main

PAGE = Path(__file__).parents[3] / "docs/controllers.md"


def test_the_controller_of_the_docs_takes_part_in_training(command, workdir, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (settings,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert list(yaml.safe_load(settings)["model"]["init_args"]) == ["engine", "controllers"]
    (workdir / "second_hearing.py").write_text(code)
    (workdir / "mine.yaml").write_text(settings)
    monkeypatch.syspath_prepend(workdir)
    try:
        assert main(command("fit", "--config", "mine.yaml", stage="grpo")) == 0
    finally:
        sys.modules.pop("second_hearing", None)
    (run,) = MlflowClient(f"sqlite:///{workdir}/mlflow.db").search_runs(["1"])
    metrics = run.data.metrics
    assert 0 < metrics["rollout/relistens"] <= 1 and metrics["rollout/aborted"] == 0
    (table,) = workdir.rglob("rollouts/*.jsonl")
    texts = [json.loads(line)["completion"] for line in table.read_text().splitlines()]
    assert texts and not any("Listening again:" in text for text in texts)


def test_pause_of_the_docs_takes_part_in_training_and_leaves_its_thresholds_beside_the_weights(command, workdir):
    settings, _ = re.findall(r"```yaml\n(.*?)```", PAGE.with_name("pause.md").read_text(), re.DOTALL)
    for ours, tiny in ((" ...", "<thought>"), ("window: 64", "window: 2"), ("gap: 32", "gap: 1")):
        assert ours in settings
        settings = settings.replace(ours, tiny)
    (workdir / "pause.yaml").write_text(settings)
    flags = ["--model.group_size=16", "--trainer.max_steps=4", "--config", "pause.yaml"]
    assert main(command("fit", *flags, stage="grpo")) == 0
    kept = json.loads((workdir / "run/export/pause.json").read_text())
    assert 0 < kept["abort"] < kept["pause"] < 1 and kept["window"] == 2
    (run,) = MlflowClient(f"sqlite:///{workdir}/mlflow.db").search_runs(["1"])
    assert run.data.metrics["rollout/paused"] > 0.1
