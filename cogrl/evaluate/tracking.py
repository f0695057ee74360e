"""An evaluation report as an MLflow run: metrics, table, answers, confusion figure."""

import json
import re
from pathlib import Path

import mlflow


def plain(name: str) -> str:
    """A policy's or a figure's name with `-` for the signs that MLflow refuses; a task of a manifest may have them."""
    return re.sub(r"[^\w.\- ]", "-", name)


def log_report(store: str, folder: Path, parent_run: str | None = None, experiment: str = "cogrl") -> str:
    """Log what `report.write` left in `folder`; returns the run id. Nested under `parent_run` when given."""
    mlflow.set_tracking_uri(store)
    client = mlflow.MlflowClient()
    if parent_run:
        experiment_id = client.get_run(parent_run).info.experiment_id
    else:
        experiment_id = mlflow.set_experiment(experiment).experiment_id
    tags = {"mlflow.parentRunId": parent_run} if parent_run else {}
    run = client.create_run(experiment_id, run_name="evaluate", tags=tags)
    report = json.loads((folder / "report.json").read_text())
    for policy, values in report["policies"].items():
        for name, figure in values.items():
            if figure["mean"] is not None:
                client.log_metric(run.info.run_id, f"{plain(policy)}/{plain(name)}", figure["mean"])
    for file in sorted(folder.iterdir()):
        if file.is_file():
            client.log_artifact(run.info.run_id, str(file))
    client.set_terminated(run.info.run_id)
    return run.info.run_id
