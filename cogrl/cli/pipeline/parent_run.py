"""The MLflow run of a whole pipeline; the runs of its steps are nested under it."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from cogrl.callbacks.mlflow_advice import Options, advised, refuse_unusable_file
from cogrl.callbacks.mlflow_store import PARENT_TAG, artifacts_beside, one_at_a_time, prepare

_EXPERIMENT = "cogrl"


class ParentRun:
    """A context: begins the run (or takes up the one of an earlier attempt) and ends it with `status`.

    Without a working store `run_id` is None, after one warning, and the pipeline still runs.
    """

    def __init__(self, name: str, run_dir: Path, tracking_uri: str, files: Sequence[Path]) -> None:
        self.name, self.note, self.uri, self.files = name, run_dir / "mlflow_run.json", tracking_uri, files
        self.run_id: str | None = None
        self.status = "FINISHED"

    def __enter__(self) -> "ParentRun":
        prepare()
        try:
            self.begin()
        except Exception as error:  # tracking never stops work
            warnings.warn(
                f"MLflow can not be used, the pipeline goes on without it: {self.advice(error)}", stacklevel=2
            )
            self.run_id = None
        return self

    def begin(self) -> None:
        from mlflow import MlflowClient

        refuse_unusable_file(self.uri)
        with one_at_a_time(self.uri):
            self.client = MlflowClient(self.uri)
            self.run_id = self.earlier() or self.new()
        self.client.update_run(self.run_id, status="RUNNING")
        for file in self.files:
            self.client.log_artifact(self.run_id, str(file))

    def advice(self, error: Exception) -> str:
        return advised(error, self.uri, _EXPERIMENT, Options("--set tracking_uri=", None))

    def earlier(self) -> str | None:
        """The run of an earlier attempt, when the store still has it."""
        noted = json.loads(self.note.read_text()) if self.note.is_file() else {}
        found = self.client.search_runs(
            [experiment(self.client, self.uri)], f"attributes.run_id = '{noted.get('run_id')}'"
        )
        return found[0].info.run_id if found else None

    def new(self) -> str:
        run_id = self.client.create_run(experiment(self.client, self.uri), run_name=self.name).info.run_id
        self.note.write_text(json.dumps({"run_id": run_id}) + "\n")
        return run_id

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.run_id is None:
            return
        try:
            ended = {None: self.status, KeyboardInterrupt: "KILLED", SystemExit: "KILLED"}.get(kind, "FAILED")
            self.end_steps(ended)
            self.client.set_terminated(self.run_id, ended)
        except Exception as problem:
            warnings.warn(f"MLflow did not take the end of the pipeline: {problem}", stacklevel=2)

    def end_steps(self, status: str) -> None:
        """Mark the runs of steps whose process was killed as ended: they would stay RUNNING."""
        mine = f"tags.`{PARENT_TAG}` = '{self.run_id}' and attributes.status = 'RUNNING'"
        for run in self.client.search_runs([experiment(self.client, self.uri)], mine):
            self.client.set_terminated(run.info.run_id, status)


def experiment(client: Any, uri: str) -> str:
    """The id of the experiment in a store, made when it is missing. `client` is an `MlflowClient`."""
    found = client.get_experiment_by_name(_EXPERIMENT)
    return found.experiment_id if found else client.create_experiment(_EXPERIMENT, artifacts_beside(uri))
