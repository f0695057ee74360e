"""A store that can not be used: the warning says which command or option helps. Real stores, each really broken."""

import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from mlflow import MlflowClient

from cogrl.callbacks.mlflow_advice import Options, advised, refuse_unusable_file
from cogrl.callbacks.mlflow_logger import MLflowLogger
from cogrl.callbacks.mlflow_store import prepare
from cogrl.cli.main import main
from cogrl.cli.pipeline.parent_run import ParentRun


@pytest.fixture
def client(workdir):
    return MlflowClient(f"sqlite:///{workdir}/mlflow.db")


def message_for(**settings) -> str:
    """What a run with this logger is warned of, in one line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        logger = MLflowLogger(flush_every_s=0.0, **settings)
        logger.log_metrics({"loss": 1.0}, 0)
        logger.flush()
    (first, *_) = [str(w.message) for w in caught if "MLflow" in str(w.message)]
    assert "\n" not in first and "SQL:" not in first
    return first


def restore(text: str) -> None:
    """Run the command that a message names, as the user would."""
    words = shlex.split(re.search(r"(MLFLOW_TRACKING_URI=\S+ mlflow [\w -]+?)(?:, or |$)", text)[1])
    name, _, value = words[0].partition("=")
    args = [sys.executable, "-m", *words[1:]]
    subprocess.run(args, env=os.environ | {name: value}, check=True, capture_output=True)


def trash(client) -> str:
    found = client.get_experiment_by_name("cogrl")
    number = found.experiment_id if found else client.create_experiment("cogrl")
    client.delete_experiment(number)
    return number


def test_a_deleted_experiment_is_restored_by_the_command_in_the_warning(client, workdir):
    number = trash(client)
    text = message_for()
    assert "the experiment 'cogrl' is in the trash; restore it with: " in text
    assert (
        f"mlflow experiments restore --experiment-id {number}, or use another one: --mlflow.experiment_name=NAME"
        in text
    )
    restore(text)
    assert client.get_experiment_by_name("cogrl").lifecycle_stage == "active"
    assert MLflowLogger().run_id is not None


def test_another_name_helps_where_the_experiment_was_deleted(client, workdir):
    trash(client)
    assert MLflowLogger(experiment_name="other").run_id is not None


def test_a_pipeline_whose_experiment_was_deleted_says_so_and_goes_on(client, workdir):
    trash(client)
    with (
        pytest.warns(UserWarning, match=r"the pipeline goes on without it.*is in the trash; restore it") as caught,
        ParentRun("p", workdir, f"sqlite:///{workdir}/mlflow.db", []) as parent,
    ):
        assert parent.run_id is None
    restore(str(caught[-1].message))
    with ParentRun("p", workdir, f"sqlite:///{workdir}/mlflow.db", []) as parent:
        assert parent.run_id is not None


def test_an_evaluation_whose_experiment_was_deleted_says_so(client, workdir, tiny_policy_dir, smoke_corpus, capsys):
    trash(client)
    args = ["evaluate", "--policy", str(tiny_policy_dir), "--data", str(smoke_corpus / "test.jsonl"), "--out", "report"]
    short = ["--limit", "2", "--draws", "0", "--max-new-tokens", "2", "--store", f"sqlite:///{workdir}/mlflow.db"]
    assert main([*args, *short]) == 0
    assert "is in the trash; restore it with: " in capsys.readouterr().out.splitlines()[-1]


def test_a_deleted_run_that_is_to_go_on_is_restored_by_the_command_in_the_warning(client, workdir):
    run = MLflowLogger().run_id
    client.delete_run(run)
    text = message_for(run_id=run)
    assert f"mlflow runs restore --run-id {run}" in text
    restore(text)
    assert MLflowLogger(run_id=run).run_id == run


def test_a_run_that_is_in_no_store_asks_for_its_own(workdir):
    assert "that run is not in sqlite:///" in message_for(run_id="0" * 32)


@pytest.mark.parametrize(
    ("version", "advice"),
    [
        (
            "ffff00001111",
            "a newer MLflow made it; pip install --upgrade mlflow, or keep this run elsewhere: --mlflow.track",
        ),
        ("0a8213491aaa", "an older MLflow made it; copy "),
    ],
)
def test_a_store_of_another_schema_says_which_side_is_to_be_brought_up(workdir, version, advice):
    shutil.copy("mlflow.db", "other.db")  # MLflow remembers that it has looked at the first one
    with sqlite3.connect("other.db") as database:
        database.execute("UPDATE alembic_version SET version_num = ?", (version,))
    text = message_for(tracking_uri="sqlite:///other.db")
    assert advice in text
    assert ("mlflow db upgrade sqlite:///" in text) == ("older" in advice)


def test_a_server_that_does_not_answer_is_named_with_a_way_around_it(workdir, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    text = message_for(tracking_uri="http://127.0.0.1:9")
    assert "no MLflow server answers at http://127.0.0.1:9; see that it runs" in text
    assert "--mlflow.tracking_uri=sqlite:///other.db" in text


def test_a_store_that_is_no_store_is_said_to_be_none(workdir):
    Path("text.db").write_text("no database " * 100)
    assert "/text.db is no store that can be used" in message_for(tracking_uri="sqlite:///text.db")
    assert "is no store that can be used" in message_for(tracking_uri="sqlit:///x.db")


def test_a_folder_in_place_of_the_file_is_said_without_minutes_of_trying(workdir):
    prepare()
    Path("folder.db").mkdir()
    Path("file").write_text("")
    assert "folder.db is a folder, not the file of a store" in message_for(tracking_uri="sqlite:///folder.db")
    with pytest.raises(NotADirectoryError, match=r"can not be made: .*file is a file"):
        refuse_unusable_file(f"sqlite:///{workdir}/file/deep/mlflow.db")
    refuse_unusable_file(f"sqlite:///{workdir}/new/mlflow.db")
    refuse_unusable_file("http://127.0.0.1:9")


def test_a_read_only_store_says_what_to_change(workdir):
    """Root may write anything, so the error is that of a database opened for reading."""
    database = sqlite3.connect(f"file:{workdir}/mlflow.db?mode=ro", uri=True)
    with pytest.raises(sqlite3.OperationalError) as caught:
        database.execute("INSERT INTO experiments (name) VALUES ('x')")
    text = advised(caught.value, f"sqlite:///{workdir}/mlflow.db", "cogrl", Options("--store", None))
    assert (
        f"give this user the right to write {workdir}/mlflow.db and its folder, or keep this run elsewhere: --store sq"
        in text
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_a_store_this_user_may_not_write_is_refused_before_mlflow_tries(workdir):
    Path("mlflow.db").chmod(0o444)
    with pytest.raises(PermissionError, match="read-only for this user"):
        refuse_unusable_file(f"sqlite:///{workdir}/mlflow.db")


def test_an_error_that_nobody_knows_stays_what_it_is(workdir):
    assert advised(ValueError("strange\nand long"), "sqlite:///mlflow.db", "cogrl") == "strange"
    assert advised(KeyError(), "sqlite:///mlflow.db", "cogrl") == "KeyError"


def test_a_store_that_was_left_half_made_costs_a_warning_that_says_so(workdir):
    Path("mlflow.db").unlink()
    with sqlite3.connect("mlflow.db") as database:
        database.execute("CREATE TABLE webhooks (webhook_id VARCHAR)")
    assert "was left half made; move its file away, or keep this run elsewhere: --mlflow.tracking_uri" in message_for()


STOPPED_WHILE_IT_SETS_UP = """
import os, signal, sys
import mlflow.store.db.utils as utils
from cogrl.callbacks.mlflow_store import one_at_a_time
real = utils._upgrade_db
def half(engine):
    engine.connect().exec_driver_sql("CREATE TABLE webhooks (webhook_id VARCHAR)")
    os.kill(os.getpid(), signal.SIGKILL)
utils._upgrade_db = half
with one_at_a_time(sys.argv[1]):
    pass
"""


def test_a_process_killed_while_it_sets_a_store_up_leaves_none_and_the_next_one_makes_it(workdir):
    Path("mlflow.db").unlink()
    paths = os.pathsep.join(sys.path)
    process = subprocess.run(
        [sys.executable, "-c", STOPPED_WHILE_IT_SETS_UP, f"sqlite:///{workdir}/mlflow.db"],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert not Path("mlflow.db").exists() and list(workdir.glob(".mlflow.db.*.part"))
    assert MLflowLogger().run_id is not None
    assert not list(workdir.glob(".mlflow.db.*.part*"))
