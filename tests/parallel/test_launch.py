"""The launch files start two ranks that find each other; SLURM's own `srun` is stood in for by one that starts them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from launched import free_port

from cogrl.cli.fit.checkpoints import record_of

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "configs" / "launch"
SRUN = """#!/usr/bin/env bash
[ "$1" = --kill-on-bad-exit=1 ] && shift
for rank in 0 1; do SLURM_PROCID=$rank SLURM_LOCALID=$rank SLURM_NODEID=0 "$@" & pids="${pids:-} $!"; done
for pid in $pids; do wait "$pid"; done
"""
SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NAME": "cogrl",
    "SLURM_NTASKS": "2",
    "SLURM_NTASKS_PER_NODE": "2",
    "SLURM_NNODES": "1",
    "SLURM_NODELIST": "127.0.0.1",
    "SLURM_JOB_NODELIST": "127.0.0.1",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torchrun.sh", "slurm.sbatch", "deepspeed.sh"])
def test_two_ranks_of_one_node_train_together(name, smoke_corpus, tiny_policy_dir, workdir):
    programs = workdir / "programs"
    programs.mkdir()
    (programs / "srun").write_text(SRUN)
    (programs / "srun").chmod(0o755)
    surroundings = {
        "PATH": os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "OMP_NUM_THREADS": "1",
        "GPUS": "2",
        "PORT": str(free_port()),
        "MASTER_PORT": str(free_port()),
        "DS_ACCELERATOR": "cpu",
    } | (SLURM if name == "slurm.sbatch" else {})
    files = [f"{kind}/{file}.yaml" for kind, file in (("stage", "sft"), ("policy", "tiny"), ("trainer", "zero2"))]
    args = [
        *(word for file in files for word in ("--config", str(ROOT / "configs" / file))),
        *("--trainer.accelerator=cpu", "--trainer.precision=32-true", "--trainer.max_steps=1", "--run_dir=run"),
        *(f"--model.policy.path={tiny_policy_dir}", f"--data.train={smoke_corpus / 'sft.jsonl'}"),
        *("--data.batch_size=2", "--data.workers=0"),
    ]
    done = subprocess.run(
        ["bash", str(LAUNCH / name), "fit", *args],
        env=os.environ | surroundings,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    noted = record_of(workdir / "run" / "checkpoints" / "last.ckpt")
    assert (noted["world_size"], noted["strategy"]) == (2, "zero2")


@pytest.mark.parametrize("file", sorted(LAUNCH.iterdir()), ids=lambda file: file.name)
def test_a_launch_file_is_sound_and_may_be_executed(file):
    assert subprocess.run(["bash", "-n", str(file)]).returncode == 0 and os.access(file, os.X_OK)


@pytest.mark.parametrize(("status", "requeued"), [(0, False), (1, False), (143, True)])
def test_a_job_that_slurm_has_stopped_is_put_into_the_queue_again(status, requeued, tmp_path):
    for name, line in (("srun", f"exit {status}"), ("scontrol", 'echo "$@" > queue')):
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{line}\n")
        (tmp_path / name).chmod(0o755)
    surroundings = os.environ | SLURM | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", str(LAUNCH / "slurm.sbatch"), "fit"], env=surroundings, cwd=tmp_path)
    assert done.returncode == status and (tmp_path / "queue").exists() == requeued
    assert not requeued or (tmp_path / "queue").read_text() == "requeue 7\n"
