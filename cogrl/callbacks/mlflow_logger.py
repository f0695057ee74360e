"""MLflow as a witness: it sees everything a run does and can never stop it."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, RunStatus
from pytorch_lightning.loggers import MLFlowLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only, rank_zero_warn

from cogrl.callbacks.mlflow_store import DEFAULT_STORE, PARENT_TAG, absolute_uri, artifacts_beside, prepare

_LONGEST_PARAM = 500
_BATCH = 1000
_MOST_FAILURES = 10


class MLflowLogger(MLFlowLogger):
    """One run in a local SQLite store by default; metrics go out in batches, failures go out as warnings.

    A store that breaks costs one warning; metrics wait for it to come back, and after ten failures in a row the run
    goes on without it. A run that failed or was killed says so: status FAILED or KILLED and the tag `cogrl.error`.

    Args:
        experiment_name: groups runs.
        run_name: shown in the list of runs; the CLI puts the name of `run_dir` here when it is None.
        tracking_uri: `sqlite:///FILE` (a relative file is taken from the working directory) or the address of a server.
        artifact_location: where files go; None = `mlruns/` beside a SQLite file, the server's choice otherwise.
        run_id: continue this run instead of starting one.
        parent_run_id: show this run nested under another.
        flush_every_s: metrics wait at most this long, in seconds, before they are sent.
    """

    def __init__(
        self,
        experiment_name: str = "cogrl",
        run_name: str | None = None,
        tracking_uri: str = DEFAULT_STORE,
        artifact_location: str | None = None,
        run_id: str | None = None,
        parent_run_id: str | None = None,
        flush_every_s: float = 5.0,
    ) -> None:
        prepare()
        self.broken: str | None = None
        self.waiting: list[Metric] = []
        self.flush_every_s, self.pause_s = flush_every_s, flush_every_s
        self.last_flush = time.monotonic()
        self.final_status: str | None = None
        self.experiment_name = experiment_name
        self.resumes = run_id is not None
        self.failures = 0
        uri = absolute_uri(tracking_uri)
        if rank_zero_only.rank > 0:
            self.broken = "only the first process reports"
            return
        try:
            super().__init__(
                experiment_name=experiment_name,
                run_name=run_name,
                tracking_uri=uri,
                tags={PARENT_TAG: parent_run_id} if parent_run_id else None,
                artifact_location=artifact_location or artifacts_beside(uri),
                run_id=run_id,
            )
        except Exception as error:  # whatever the store raises, training is not its business
            self.give_up(error)

    @property
    @rank_zero_only
    def experiment(self):
        """The MLflow client, its run begun (or taken up again); None when the store can not be reached."""
        if self.broken:
            return None
        fresh = not self._initialized
        try:
            client = super().experiment
            if fresh:
                client.update_run(self._run_id, status=RunStatus.to_string(RunStatus.RUNNING))
            return client
        except Exception as error:
            self.give_up(error)
            return None

    @property
    def run_id(self) -> str | None:
        _ = self.experiment
        return None if self.broken else self._run_id

    @property
    def name(self) -> str:
        return self.experiment_name

    @property
    def version(self) -> str | None:
        return self.run_id

    @property
    def save_dir(self) -> None:
        """Nothing is written beside the store; files belong to the run folder."""

    def attempt(self, action: Callable[[Any, str], None]) -> bool:
        """`action(client, run_id)`; a failure becomes one warning. False when it failed or the store is gone."""
        client = self.experiment
        if client is None:
            return False
        try:
            action(client, self._run_id)
        except Exception as error:
            self.note(error)
            return False
        self.failures = 0
        return True

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        now = int(time.time() * 1000)
        self.waiting += [Metric(name, float(value), now, step or 0) for name, value in metrics.items()]
        if time.monotonic() - self.last_flush >= self.pause_s:
            self.flush()

    @rank_zero_only
    def flush(self) -> None:
        """Send the waiting metrics. What a failing store refuses waits for the next, ever later, attempt."""
        self.last_flush = time.monotonic()
        for start in range(0, len(self.waiting), _BATCH):
            chunk = self.waiting[start : start + _BATCH]
            if not self.attempt(lambda client, run, chunk=chunk: client.log_batch(run, metrics=chunk)):
                self.waiting, self.pause_s = self.waiting[start:], 2 * self.pause_s
                return
        self.waiting, self.pause_s = [], self.flush_every_s

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, Any]) -> None:
        """Flat parameters. A value too long for MLflow is cut there and kept whole in the run's `config.yaml`."""
        pairs = [Param(name, shortened(str(value))) for name, value in params.items()]
        for start in range(0, len(pairs), 100):
            chunk = pairs[start : start + 100]
            self.attempt(lambda client, run, chunk=chunk: client.log_batch(run, params=chunk))

    @rank_zero_only
    def log_file(self, path: str | Path, folder: str | None = None) -> None:
        """Keep a file with the run."""
        self.attempt(lambda client, run: client.log_artifact(run, str(path), folder))

    @rank_zero_only
    def log_table(self, columns: Mapping[str, Sequence[Any]], name: str) -> None:
        """Append rows to the table `name` (a JSON artifact that MLflow shows as a table)."""
        self.attempt(lambda client, run: client.log_table(run, dict(columns), name))

    @rank_zero_only
    def fail(self, error: BaseException) -> None:
        """Remember how training ended; `finalize` then says so."""
        killed = isinstance(error, KeyboardInterrupt | SystemExit)
        self.final_status = "KILLED" if killed else "FAILED"
        text = f"{type(error).__name__}: {error}"[:5000]
        self.attempt(lambda client, run: client.set_tag(run, "cogrl.error", text))

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        if self.broken or not self._initialized:
            return
        self.flush()
        final = self.final_status or ("FAILED" if status == "failed" else "FINISHED")
        self.attempt(lambda client, run: client.set_terminated(run, final))

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """A run killed after this moment keeps the metrics that belong to its checkpoint."""
        self.flush()

    def give_up(self, error: Exception) -> None:
        self.broken = str(error)
        self.waiting = []
        rank_zero_warn(f"MLflow can not be used, training goes on without it: {error}")

    def note(self, error: Exception) -> None:
        self.failures += 1
        if self.failures == 1:
            rank_zero_warn(f"MLflow did not take a record, training goes on: {str(error)[:300]}")
        if self.failures == _MOST_FAILURES:
            self.give_up(error)


def shortened(value: str) -> str:
    """`value`, or its beginning with a visible mark when MLflow would refuse it."""
    mark = " … (whole in config.yaml)"
    return value if len(value) <= _LONGEST_PARAM else value[: _LONGEST_PARAM - len(mark)] + mark
