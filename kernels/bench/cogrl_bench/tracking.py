"""A benchmark as an MLflow run: medians, peaks and ratios as metrics, the files as artifacts."""

from pathlib import Path

from cogrl_bench import timing
from cogrl_bench.run import Report
from cogrl_bench.table import origin


def log(report: Report, folder: Path, store: str, artifacts: str | None, experiment: str = "cogrl") -> str:
    """Returns the run id. `artifacts` is where a new experiment keeps its files; None leaves that to the store."""
    from mlflow import MlflowClient

    client = MlflowClient(store)
    found = client.get_experiment_by_name(experiment)
    experiment_id = found.experiment_id if found else client.create_experiment(experiment, artifacts)
    run_id = client.create_run(experiment_id, run_name="bench").info.run_id
    for name, value in origin(report).items():
        client.log_param(run_id, name, value)
    for name, value in metrics(report).items():
        client.log_metric(run_id, name, value)
    for file in sorted(folder.iterdir()):
        if file.is_file():
            client.log_artifact(run_id, str(file))
    client.set_terminated(run_id)
    return run_id


def metrics(report: Report) -> dict[str, float]:
    found = {}
    for result in report.results:
        head = "" if result.setting.head is None else f"{str(result.setting.head).replace('@', '_cap')}/"
        place = f"bench/{result.operation}/{head}{result.setting.tokens}/{result.provider}"
        for mode, times in result.times.items():
            found[f"{place}/{mode}_ms"] = timing.quantiles(times).p50
        for mode, size in result.memory_mb.items():
            found[f"{place}/{mode}_mb"] = size
        for mode, ratio in result.ratios.items():
            found[f"{place}/{mode}_faster"] = ratio
    return found
