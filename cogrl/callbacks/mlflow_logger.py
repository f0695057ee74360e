"""An MLflow logger that records everything a run does; its failures are warnings and never stop the run."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, RunStatus
from pytorch_lightning.loggers import MLFlowLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only, rank_zero_warn

from cogrl.callbacks.mlflow_advice import advised, refuse_unusable_file
from cogrl.callbacks.mlflow_store import (
    DEFAULT_STORE,
    PARENT_TAG,
    absolute_uri,
    artifacts_beside,
    one_at_a_time,
    prepare,
)

_LONGEST_PARAM = 500
_BATCH = 1000
_MOST_FAILURES = 10
Action = Callable[[Any, str], None]
"""What is done with a client and the id of the run."""


class MLflowLogger(MLFlowLogger):
    """One run in a local SQLite store by default; metrics go out in batches, failures go out as warnings.

    A store that breaks, or can not be opened at the start, costs one warning; what it does not accept is queued until
    it works again, and after ten failures in a row the run goes on without it. A run that failed or was killed says so:
    status FAILED or KILLED and the tag `cogrl.error`.

    A run that is taken up again does some steps a second time, those behind its checkpoint: the store keeps the points
    that it has, and gets none twice.

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
        self.broken = "only the first process reports" if rank_zero_only.rank > 0 else None
        self.waiting: list[Metric] = []
        self.postponed: list[Action] = []
        self.flush_every_s, self.pause_s = flush_every_s, flush_every_s
        self.last_flush, self.next_opening = time.monotonic(), 0.0
        self.final_status: str | None = None
        self.experiment_name = experiment_name
        self.resumes = run_id is not None
        self.last_steps: dict[str, int] = {}
        self.failures = 0
        self._initialized = False
        uri = absolute_uri(tracking_uri)
        self.settings = {
            "experiment_name": experiment_name,
            "run_name": run_name,
            "tracking_uri": uri,
            "tags": {PARENT_TAG: parent_run_id} if parent_run_id else None,
            "artifact_location": artifact_location or artifacts_beside(uri),
            "run_id": run_id,
        }

    @property
    @rank_zero_only
    def experiment(self):
        """The MLflow client, its run begun (or taken up again); None while the store can not be reached."""
        if self.broken or time.monotonic() < self.next_opening:
            return None
        try:
            return super().experiment if self._initialized else self.open()
        except Exception as error:  # whatever the store raises must not stop training
            self.next_opening = time.monotonic() + self.pause_s
            self.note(error)
            return None

    def open(self):
        """Set the store up if need be and begin the run, or take it up again."""
        refuse_unusable_file(self.settings["tracking_uri"])
        with one_at_a_time(self.settings["tracking_uri"]):
            super().__init__(**self.settings)
            client = super().experiment
        if self.resumes:
            known = client.get_run(self._run_id).data._metric_objs  # the latest point of each; `metrics` has no steps
            self.last_steps = {metric.key: metric.step for metric in known}
        client.update_run(self._run_id, status=RunStatus.to_string(RunStatus.RUNNING))
        return client

    @property
    def run_id(self) -> str | None:
        return None if self.experiment is None else self._run_id

    @property
    def name(self) -> str:
        return self.experiment_name

    @property
    def version(self) -> str | None:
        return self.run_id

    @property
    def save_dir(self) -> None:
        """Nothing is written beside the store; files belong to the run folder."""

    def attempt(self, action: Action) -> bool:
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

    def do(self, action: Action) -> None:
        """`action(client, run_id)` now, or, when the store does not take it, with a later flush, in the same order."""
        if self.postponed or not self.attempt(action):
            self.postponed.append(action)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        now = int(time.time() * 1000)
        self.waiting += [Metric(name, float(value), now, step or 0) for name, value in metrics.items()]
        if time.monotonic() - self.last_flush >= self.pause_s:
            self.flush()

    @rank_zero_only
    def flush(self) -> None:
        """Send what is waiting. What a failing store refuses waits for the next, ever later, attempt."""
        self.last_flush = time.monotonic()
        while self.postponed:
            if not self.attempt(self.postponed[0]):
                self.pause_s *= 2
                return
            self.postponed.pop(0)
        if self.resumes and self.waiting and self.experiment is not None:  # which knows the last steps once it is open
            self.waiting = [metric for metric in self.waiting if metric.step > self.last_steps.get(metric.key, -1)]
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
            self.do(lambda client, run, chunk=chunk: client.log_batch(run, params=chunk))

    @rank_zero_only
    def log_file(self, path: str | Path, folder: str | None = None) -> None:
        """Log a file as an artifact of the run."""
        self.do(lambda client, run: client.log_artifact(run, str(path), folder))

    @rank_zero_only
    def fail(self, error: BaseException) -> None:
        """Keep the status with which training ended, for `finalize`."""
        killed = isinstance(error, KeyboardInterrupt | SystemExit)
        self.final_status = "KILLED" if killed else "FAILED"
        text = f"{type(error).__name__}: {error}"[:5000]
        self.do(lambda client, run: client.set_tag(run, "cogrl.error", text))

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        if self.broken:
            return
        self.next_opening = 0.0  # no later flush follows
        self.flush()
        lost = len(self.waiting) + len(self.postponed)
        if lost:
            rank_zero_warn(f"MLflow never took {lost} records of this run; what is in the run folder is whole")
        if not self._initialized:
            return
        final = self.final_status or ("FAILED" if status == "failed" else "FINISHED")
        self.attempt(lambda client, run: client.set_terminated(run, final))

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """A run killed after this moment keeps the metrics that belong to its checkpoint."""
        self.flush()

    def give_up(self, error: Exception) -> None:
        self.broken = str(error)
        self.waiting, self.postponed = [], []
        rank_zero_warn(f"MLflow can not be used, training goes on without it: {self.advice(error)}")

    def advice(self, error: Exception) -> str:
        return advised(error, self.settings["tracking_uri"], self.experiment_name)

    def note(self, error: Exception) -> None:
        self.failures += 1
        if self.failures == 1:
            rank_zero_warn(f"MLflow did not take a record, training goes on: {self.advice(error)}")
        if self.failures == _MOST_FAILURES:
            self.give_up(error)


def shortened(value: str) -> str:
    """`value`, or its beginning with a visible mark when MLflow would refuse it."""
    mark = " … (whole in config.yaml)"
    return value if len(value) <= _LONGEST_PARAM else value[: _LONGEST_PARAM - len(mark)] + mark
