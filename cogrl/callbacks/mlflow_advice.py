"""What to do when an MLflow store does not work: the exact command or option. Imports MLflow only when it looks."""

import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cogrl.callbacks.mlflow_store import database


@dataclass(frozen=True)
class Options:
    """How the user names the store, and the experiment where it can be chosen, on the command at hand."""

    store: str = "--mlflow.tracking_uri"
    experiment: str | None = "--mlflow.experiment_name"


def refuse_unusable_file(uri: str) -> None:
    """OSError for a SQLite store that can not be opened or written; MLflow itself would try again for two minutes."""
    path = database(uri)
    if path is None:
        return
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not the file of a store")
    near = next(folder for folder in path.parents if folder.exists())
    if not near.is_dir():
        raise NotADirectoryError(f"{path} can not be made: {near} is a file")
    for needed in [near, *([path] if path.exists() else [])]:
        if not os.access(needed, os.W_OK):
            raise PermissionError(f"{path} can not be written: {needed} is read-only for this user")


def advised(error: Exception, uri: str, experiment: str, options: Options = Options()) -> str:
    """The first line of an error of the store `uri`, and what to do about it where that is known."""
    text = str(error).strip()
    first = text.splitlines()[0][:300] if text else type(error).__name__
    known = {
        r"table \w+ already exists": half_made,
        r"must be in the 'active' state|already exists|deleted experiment": deleted,
        r"found version (\w+)": other_schema,
        r"readonly|read-only|Permission denied": unwritable,
        r"Max retries exceeded|Connection refused|ConnectionError|timed out": no_answer,
        r"error code 40[13]|40[13] (?:Unauthorized|Forbidden)": no_access,
        r"not a database|malformed|is a folder|is a file|Not a directory|unable to open": no_store,
        r"[Rr]un with id=?\s*'?\w+'? not found|Run '?\w+'? not found": no_run,
        r"[Uu]nsupported URI|maintenance mode": no_store,
    }
    for pattern, advice in known.items():
        if re.search(pattern, text):
            hint = advice(text, uri, experiment, options)
            return f"{first.rstrip('.')}; {hint}" if hint else first
    return first


def deleted(text: str, uri: str, experiment: str, options: Options) -> str | None:
    """An experiment or a run in MLflow's trash."""
    run = re.search(r"run (\w+) must be in the 'active' state", text)
    if run:
        return f"the run is in the trash; restore it with: {command(uri, f'runs restore --run-id {run[1]}')}"
    found = in_the_trash(uri, experiment)
    if found is None:
        return None
    rename = f", or use another one: {options.experiment}=NAME" if options.experiment else ""
    restore = command(uri, f"experiments restore --experiment-id {found}")
    return f"the experiment {experiment!r} is in the trash; restore it with: {restore}{rename}"


def in_the_trash(uri: str, experiment: str) -> str | None:
    """The id of a deleted experiment of this name; None when there is none, or the store can not say."""
    from mlflow import MlflowClient

    try:
        found = MlflowClient(uri).get_experiment_by_name(experiment)
    except Exception:  # the store is known to be broken: there is another message to be given
        return None
    return found.experiment_id if found is not None and found.lifecycle_stage == "deleted" else None


def other_schema(text: str, uri: str, experiment: str, options: Options) -> str:
    version = re.search(r"found version (\w+)", text)[1]
    folders = find_spec("mlflow").submodule_search_locations
    migrations = [Path(folder) / "store" / "db_migrations" / "versions" for folder in folders]
    if any(list(folder.glob(f"{version}_*.py")) for folder in migrations):
        return f"an older MLflow made it; copy {database(uri) or uri} and then: mlflow db upgrade {uri}"
    return f"a newer MLflow made it; pip install --upgrade mlflow, or {another(options)}"


def unwritable(text: str, uri: str, experiment: str, options: Options) -> str:
    return f"give this user the right to write {database(uri) or uri} and its folder, or {another(options)}"


def no_answer(text: str, uri: str, experiment: str, options: Options) -> str:
    return f"no MLflow server answers at {uri}; see that it runs and the address is right, or {another(options)}"


def no_access(text: str, uri: str, experiment: str, options: Options) -> str:
    return f"{uri} does not let this user in; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or a token"


def no_store(text: str, uri: str, experiment: str, options: Options) -> str:
    return f"{uri} is no store that can be used; {another(options)}"


def half_made(text: str, uri: str, experiment: str, options: Options) -> str:
    return f"{uri} was left half made; move its file away, or {another(options)}"


def no_run(text: str, uri: str, experiment: str, options: Options) -> str:
    return f"that run is not in {uri}; name the store it is in with {options.store}"


def another(options: Options) -> str:
    separator = "" if options.store.endswith("=") else "=" if options.store.startswith("--mlflow.") else " "
    return f"keep this run elsewhere: {options.store}{separator}sqlite:///other.db"


def command(uri: str, words: str) -> str:
    return f"MLFLOW_TRACKING_URI={uri} mlflow {words}"
