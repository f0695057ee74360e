"""Signals to a real process: the step is finished, the checkpoint written, the run taken up again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from mlflow import MlflowClient

from cogrl.cli.main import main

REPOSITORY = Path(__file__).parents[3]
CHECKPOINT = Path("run/checkpoints/last.ckpt")


class Waits(pl.Callback):
    """Stands for weights that take long to read."""

    def setup(self, trainer, pl_module, stage):
        Path("waiting").touch()
        time.sleep(60)


def started(args: list[str]) -> subprocess.Popen:
    paths = os.pathsep.join(
        [str(REPOSITORY), str(REPOSITORY / "kernels"), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    )
    return subprocess.Popen(
        [sys.executable, "-m", "cogrl.cli.main", *args],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(path: Path, process: subprocess.Popen, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.05)


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("number", "status", "workers"),
    [(signal.SIGINT, 130, 2), (signal.SIGTERM, 143, 0), (signal.SIGINT, 130, 0), (signal.SIGHUP, 129, 0)],
    ids=["Ctrl-C with loader workers", "SIGTERM", "Ctrl-C", "SIGHUP"],
)
def test_a_stopped_run_keeps_its_last_step_and_goes_on_as_the_same_run(command, workdir, number, status, workers):
    args = command("fit", "--checkpoint.every_n_steps=3")
    process = started([*args, "--trainer.max_steps=1000000", f"--data.workers={workers}"])
    wait_for(CHECKPOINT, process)
    os.killpg(process.pid, number)  # as a terminal does: to the workers as well
    output, _ = process.communicate(timeout=60)
    assert process.returncode == status, output
    assert "Traceback" not in output
    assert "--ckpt_path last" in output
    state = torch.load(CHECKPOINT, weights_only=True)
    stopped_at = state["global_step"]
    assert stopped_at >= 3
    assert state["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["processed"] >= stopped_at
    store = MlflowClient(f"sqlite:///{workdir}/mlflow.db")
    experiment = store.get_experiment_by_name("cogrl").experiment_id
    (run,) = store.search_runs([experiment])
    assert run.info.status == "KILLED"

    assert main([*args, f"--trainer.max_steps={stopped_at + 2}", "--ckpt_path=last"]) == 0
    (resumed,) = store.search_runs([experiment])
    assert resumed.info.run_id == run.info.run_id
    assert resumed.info.status == "FINISHED"
    assert torch.load(CHECKPOINT, weights_only=True)["global_step"] == stopped_at + 2
    steps = [metric.step for metric in store.get_metric_history(run.info.run_id, "train/loss")]
    assert steps == list(range(stopped_at + 2))


class StopsAtTheEndOfTheEpoch(pl.Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.is_last_batch:
            signal.raise_signal(signal.SIGTERM)


def test_a_run_stopped_at_the_end_of_an_epoch_misses_no_step_in_the_tracker(command, workdir):
    args = command("fit", "--trainer.max_steps=10")
    process = started([*args, f"--trainer.callbacks+={Path(__file__).stem}.StopsAtTheEndOfTheEpoch"])
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 143, output
    stopped_at = torch.load(CHECKPOINT, weights_only=True)["global_step"]
    assert 0 < stopped_at < 10
    assert main([*args, "--ckpt_path=last"]) == 0
    store = MlflowClient(f"sqlite:///{workdir}/mlflow.db")
    (run,) = store.search_runs([store.get_experiment_by_name("cogrl").experiment_id])
    steps = [metric.step for metric in store.get_metric_history(run.info.run_id, "train/loss")]
    assert steps == list(range(10))


def test_a_signal_while_weights_are_read_ends_the_run_as_killed(command, workdir):
    process = started(
        command("fit", "--trainer.max_steps=1000000", f"--trainer.callbacks+={Path(__file__).stem}.Waits")
    )
    wait_for(Path("waiting"), process)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143, output
    store = MlflowClient(f"sqlite:///{workdir}/mlflow.db")
    (run,) = store.search_runs([store.get_experiment_by_name("cogrl").experiment_id])
    assert run.info.status == "KILLED"


class StopsWithoutAFullDisk(pl.Callback):
    """SIGTERM in the second step, on a disk that takes no checkpoint any more."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 2:
            (Path(trainer.default_root_dir) / "checkpoints").mkdir()
            (Path(trainer.default_root_dir) / "checkpoints" / "last.ckpt.part").symlink_to("/dev/full")
            signal.raise_signal(signal.SIGTERM)


def test_a_run_that_can_not_keep_its_last_step_is_killed_in_the_tracker_all_the_same(command, workdir, monkeypatch):
    monkeypatch.setattr("cogrl.callbacks.checkpoint.remove", lambda path: None)  # the link to the full disk stays
    with pytest.warns(UserWarning, match="can not be written"), pytest.raises(SystemExit) as end:
        main(
            command("fit", "--trainer.max_steps=9", f"--trainer.callbacks+={Path(__file__).stem}.StopsWithoutAFullDisk")
        )
    assert end.value.code == 143
    store = MlflowClient(f"sqlite:///{workdir}/mlflow.db")
    (run,) = store.search_runs([store.get_experiment_by_name("cogrl").experiment_id])
    assert run.info.status == "KILLED"


@pytest.mark.slow
def test_two_runs_that_set_up_the_store_at_the_same_time_are_both_recorded(command, workdir):
    (workdir / "mlflow.db").unlink()
    both = [started(command("fit", f"--run_dir=run{number}")) for number in (1, 2)]
    for process in both:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output
        assert "MLflow" not in output, output
    store = MlflowClient(f"sqlite:///{workdir}/mlflow.db")
    found = store.search_runs([store.get_experiment_by_name("cogrl").experiment_id])
    assert {(run.info.run_name, run.info.status) for run in found} == {("run1", "FINISHED"), ("run2", "FINISHED")}
