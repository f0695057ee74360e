"""A job that SLURM starts again, with the same command: it goes on as the same run."""

import signal
from pathlib import Path

import pytorch_lightning as pl
from mlflow import MlflowClient

from cogrl.cli.main import main

HERE = Path(__file__).stem
JOB = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NAME": "cogrl",
    "SLURM_NTASKS": "1",
    "SLURM_NTASKS_PER_NODE": "1",
    "SLURM_NNODES": "1",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "SLURM_NODELIST": "127.0.0.1",
    "SLURM_RESTART_COUNT": "1",
}


class NotesTheHandler(pl.Callback):
    """Whether something would be done in the middle of a step when SLURM's signal arrives."""

    def on_train_start(self, trainer, pl_module):
        Path("handled").write_text(str(signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL))


def test_a_job_that_is_started_again_goes_on_as_the_same_run(command, workdir, monkeypatch):
    for name, value in JOB.items():
        monkeypatch.setenv(name, value)
    args = command("fit", f"--trainer.callbacks+={HERE}.NotesTheHandler", "--export.enabled=false")
    assert main([*args, "--trainer.max_steps=2"]) == 0  # ended before it kept anything, or had never begun
    assert main([*args, "--trainer.max_steps=3"]) == 0
    store = MlflowClient(f"sqlite:///{workdir}/mlflow.db")
    (run,) = store.search_runs(["1"])
    points = store.get_metric_history(run.info.run_id, "train/loss")
    assert sorted(point.step for point in points) == [0, 1, 2]
    assert (workdir / "handled").read_text() == "False"
    monkeypatch.delenv("SLURM_RESTART_COUNT")
    assert main([*args, "--trainer.max_steps=4"]) == 2  # begun by hand: one folder holds one run
