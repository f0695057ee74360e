import shutil
import time
import warnings
from pathlib import Path

import pytest
from mlflow import MlflowClient

from cogrl.callbacks.mlflow_logger import MLflowLogger, shortened
from cogrl.callbacks.mlflow_store import absolute_uri, artifacts_beside, database


@pytest.fixture
def client(workdir):
    return MlflowClient(f"sqlite:///{workdir}/mlflow.db")


def history(client, run_id, name="loss"):
    return [(m.step, m.value) for m in client.get_metric_history(run_id, name)]


def test_metrics_wait_and_then_go_out_together(workdir, client):
    logger = MLflowLogger(flush_every_s=60.0)
    for step in range(5):
        logger.log_metrics({"loss": step / 2}, step)
    assert history(client, logger.run_id) == []
    logger.finalize("success")
    assert history(client, logger.run_id) == [(step, step / 2) for step in range(5)]


def test_metrics_do_not_wait_longer_than_asked(workdir, client):
    logger = MLflowLogger(flush_every_s=0.05)
    logger.log_metrics({"loss": 1.0}, 0)
    time.sleep(0.06)
    logger.log_metrics({"loss": 2.0}, 1)
    assert history(client, logger.run_id) == [(0, 1.0), (1, 2.0)]


def test_a_checkpoint_takes_the_metrics_before_it_along(workdir, client):
    logger = MLflowLogger(flush_every_s=60.0)
    logger.log_metrics({"loss": 1.0}, 0)
    logger.after_save_checkpoint(None)
    assert history(client, logger.run_id) == [(0, 1.0)]


def test_more_metrics_than_one_batch_holds_all_arrive(workdir, client):
    logger = MLflowLogger(flush_every_s=60.0)
    for step in range(1100):
        logger.log_metrics({"loss": float(step)}, step)
    logger.flush()
    assert len(history(client, logger.run_id)) == 1100


def test_a_run_that_does_steps_again_logs_no_point_twice_and_leaves_none_out(workdir, client):
    first = MLflowLogger(flush_every_s=60.0)
    for step in range(4):
        first.log_metrics({"loss": float(step)}, step)
    first.log_metrics({"val": 0.5}, 1)
    first.flush()
    first.log_metrics({"loss": 4.0}, 4)  # killed with this in hand
    second = MLflowLogger(run_id=first.run_id, flush_every_s=60.0)
    for step in range(2, 6):
        second.log_metrics({"loss": float(step), "val": step / 2}, step)
    second.finalize("success")
    assert history(client, first.run_id) == [(step, float(step)) for step in range(6)]
    assert history(client, first.run_id, "val") == [(1, 0.5), *((step, step / 2) for step in range(2, 6))]


def test_metrics_a_failing_store_refused_arrive_when_it_is_back(workdir, client):
    logger = MLflowLogger(flush_every_s=60.0)
    run_id = logger.run_id
    logger.log_metrics({"loss": 1.0}, 0)
    intact = Path("mlflow.db").read_bytes()
    Path("mlflow.db").write_bytes(b"broken" * 10000)
    with pytest.warns(UserWarning, match="did not take a record"):
        logger.flush()
    logger.log_metrics({"loss": 2.0}, 1)
    Path("mlflow.db").write_bytes(intact)
    logger.finalize("success")
    assert history(client, run_id) == [(0, 1.0), (1, 2.0)]
    assert client.get_run(run_id).info.status == "FINISHED"


def test_a_store_that_stays_broken_is_mentioned_twice_and_then_left_alone(workdir):
    logger = MLflowLogger(flush_every_s=0.0)
    assert logger.run_id
    Path("mlflow.db").write_bytes(b"broken" * 10000)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(30):
            logger.log_metrics({"loss": 1.0}, step)
            logger.flush()
        logger.log_file("anything")
        logger.finalize("success")
    said = [str(w.message) for w in caught if "MLflow" in str(w.message)]
    assert len(said) == 2
    assert "did not take a record" in said[0]
    assert "goes on without it" in said[1]
    assert logger.run_id is None


@pytest.mark.parametrize(
    ("error", "status"),
    [(RuntimeError("bad"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(143), "KILLED")],
)
def test_the_end_of_a_run_says_how_it_ended(workdir, client, error, status):
    logger = MLflowLogger()
    logger.fail(error)
    logger.finalize("failed")
    run = client.get_run(logger.run_id)
    assert run.info.status == status
    assert run.data.tags["cogrl.error"].startswith(type(error).__name__)


def test_a_run_taken_up_again_is_running_until_it_ends(workdir, client):
    first = MLflowLogger(run_name="r")
    first.fail(RuntimeError())
    first.finalize("failed")
    resumed = MLflowLogger(run_id=first.run_id)
    assert resumed.experiment is not None
    assert client.get_run(first.run_id).info.status == "RUNNING"
    resumed.finalize("success")
    assert client.get_run(first.run_id).info.status == "FINISHED"


def test_a_long_parameter_is_cut_where_one_can_see_it(workdir, client):
    logger = MLflowLogger()
    logger.log_hyperparams({"short": 1, "long": "x" * 5000} | {f"p{i}": i for i in range(150)})
    params = client.get_run(logger.run_id).data.params
    assert params["short"] == "1"
    assert params["long"] == shortened("x" * 5000)
    assert params["long"].endswith("(whole in config.yaml)")
    assert len(params) == 152


def test_files_lie_beside_the_store(workdir, client):
    logger = MLflowLogger()
    Path("note.txt").write_text("hello")
    logger.log_file("note.txt", "folder")
    assert [p.read_text() for p in (workdir / "mlruns").rglob("folder/note.txt")] == ["hello"]


def test_addresses_of_stores(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute_uri("sqlite:///a/b.db") == f"sqlite:///{tmp_path}/a/b.db"
    assert absolute_uri(f"sqlite:///{tmp_path}/b.db") == f"sqlite:///{tmp_path}/b.db"
    assert absolute_uri("http://127.0.0.1:5000") == "http://127.0.0.1:5000"
    assert artifacts_beside("sqlite:///a/b.db") == f"file://{tmp_path}/a/mlruns"
    assert artifacts_beside("http://127.0.0.1:5000") is None
    assert database("http://127.0.0.1:5000") is None


def test_a_store_that_can_be_opened_only_later_gets_all_that_it_missed(tmp_path, empty_store):
    file = tmp_path / "later" / "mlflow.db"
    logger = MLflowLogger(tracking_uri=f"sqlite:///{file}", flush_every_s=0.0)
    with pytest.warns(UserWarning, match="MLflow did not take a record, training goes on"):
        logger.log_hyperparams({"lr": 0.1})
    logger.log_metrics({"loss": 2.0}, step=0)
    file.parent.mkdir()
    shutil.copy(empty_store, file)
    logger.log_metrics({"loss": 1.0}, step=1)
    logger.finalize()
    store = MlflowClient(f"sqlite:///{file}")
    (run,) = store.search_runs([store.get_experiment_by_name("cogrl").experiment_id])
    assert run.info.status == "FINISHED" and run.data.params == {"lr": "0.1"}
    assert [metric.step for metric in store.get_metric_history(run.info.run_id, "loss")] == [0, 1]


def test_a_deleted_experiment_is_named_with_how_to_restore_it_or_to_use_another(workdir, client):
    number = client.create_experiment("mine")
    client.delete_experiment(number)
    logger = MLflowLogger("mine")
    with pytest.warns(UserWarning, match=f"restore --experiment-id {number}, or use another one: --mlflow"):
        logger.log_hyperparams({"lr": 0.1})
