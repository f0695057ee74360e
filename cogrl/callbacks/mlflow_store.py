"""Where MLflow keeps things: addresses made absolute. Imports nothing heavy, so that every command can use it."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cogrl.atomic import atomic_write

DEFAULT_STORE = "sqlite:///mlflow.db"
PARENT_TAG = "mlflow.parentRunId"
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # MLflow's default number of retries holds training up for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


def prepare() -> None:
    """Set MLflow's defaults in this process where the user has set none: no telemetry, short timeouts, few messages."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in ("alembic", "mlflow.store.db.utils", "mlflow.tracking.fluent"):
        logging.getLogger(name).setLevel(logging.WARNING)


def absolute_uri(uri: str) -> str:
    """`sqlite:///relative.db` with its file made absolute; other addresses as they are."""
    kind, separator, path = uri.partition(":///")
    return f"{kind}{separator}{Path(path).absolute()}" if kind == "sqlite" else uri


def database(uri: str) -> Path | None:
    """The file of a SQLite store; None for a server."""
    kind, _, path = uri.partition(":///")
    return Path(path) if kind == "sqlite" else None


def artifacts_beside(uri: str) -> str | None:
    """The artifact folder that goes with a SQLite store, `mlruns` in the same place; None leaves it to the server."""
    path = database(absolute_uri(uri))
    return None if path is None else (path.parent / "mlruns").as_uri()


@contextmanager
def one_at_a_time(uri: str) -> Iterator[None]:
    """Opening a store: other processes of this machine wait, and a new SQLite store is there whole or not at all.

    Two processes that set one up at once break it, and so does one that is stopped half way.
    """
    path = database(absolute_uri(uri))
    if path is None:
        yield
        return
    with open(path.with_name(f"{path.name}.lock"), "w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        if not path.exists():
            set_up(path)
        yield


def set_up(path: Path) -> None:
    """Make an empty SQLite store; the caller holds its lock."""
    from mlflow import MlflowClient

    with atomic_write(path, exclusive=True) as unfinished:
        MlflowClient(f"sqlite:///{unfinished}")
