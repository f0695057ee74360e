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
