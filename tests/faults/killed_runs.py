"""Runs of `cogrl fit` in processes of their own, to be killed and taken up again, and what they did to the bit.

A server that has imported everything forks each process, which costs a second and not twenty.
"""

import json
import multiprocessing
import os
import sys
import traceback
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from mlflow import MlflowClient

REPOSITORY = Path(__file__).parents[2]
CHANGES_THE_STAGE = {
    "distill": ["--model.on_policy=0.5", "--model.sampling.max_new_tokens=6"],
    "dr_sapo": ["--model.group_size=2", "--model.sampling.max_new_tokens=6", "--model.reward=killed_at.letters"],
}
CHANGES_THE_STAGE["grpo"] = [*CHANGES_THE_STAGE["dr_sapo"], "--model.updates_per_rollout=4", "--model.passes=2"]
POLICIES = {"align": "tiny_audio"}
TIMED = ("judge/",)
"""Metrics of time are not the same twice."""


@dataclass(frozen=True)
class Corpus:
    """What runs are made of: the folder of a small policy, a manifest to train on, and one to validate on or None."""

    policy: Path
    train: Path
    val: Path | None

    def arguments(self, stage: str, *flags: str) -> list[str]:
        """The words after `cogrl`: ten steps, a checkpoint after every third, a validation after every fourth batch."""
        policy = POLICIES.get(stage, "tiny")
        files = [str(REPOSITORY / "configs" / f"{name}.yaml") for name in (f"stage/{stage}", f"policy/{policy}")]
        return [
            "fit",
            *(word for file in (*files, str(REPOSITORY / "configs/trainer/cpu.yaml")) for word in ("--config", file)),
            f"--model.policy.path={self.policy}",
            f"--data.train={self.train}",
            f"--data.val={self.val or 'null'}",
            *("--data.max_s=4.0", "--data.batch_size=4", "--run_dir=run", "--export.enabled=false"),
            *("--trainer.max_steps=10", "--trainer.limit_val_batches=1", "--trainer.log_every_n_steps=1"),
            *("--trainer.val_check_interval=4", "--trainer.check_val_every_n_epoch=null"),
            *("--checkpoint.every_n_steps=3", "--rollout_table.every_n_rollouts=1"),
            "--trainer.callbacks+=killed_at.StepTrace",
            *CHANGES_THE_STAGE.get(stage, []),
            *flags,
        ]


def killing(moment: str, count: int, delay_s: float = 0.0) -> str:
    """The flag that adds `KilledAt`."""
    settings = {"moment": moment, "count": count, "delay_s": delay_s}
    return "--trainer.callbacks+=" + json.dumps({"class_path": "killed_at.KilledAt", "init_args": settings})


def started(args: list[str], folder: Path) -> BaseProcess:
    """A process that runs `cogrl` with these arguments in `folder`; its output is in `log.txt` there."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["cogrl.cli.fit.train", "cogrl.stages", "cogrl.models.qwen2_audio", "mlflow"])
    paths = [str(REPOSITORY), str(REPOSITORY / "kernels"), str(Path(__file__).parent)]
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)  # the server reads no other list of folders
    process = server.Process(target=_cogrl, args=(args, folder))
    process.start()
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    return process


def finished(args: list[str], folder: Path) -> int:
    """The exit status of such a process: minus the signal for one that was killed."""
    process = started(args, folder)
    process.join()
    return process.exitcode


def _cogrl(args: list[str], folder: Path) -> None:
    import torch

    from cogrl.cli.main import main

    os.chdir(folder)
    log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(1)
    try:
        status = main(args)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def steps(folder: Path, rank: int = 0) -> list[dict]:
    """What `StepTrace` has noted in a folder, step by step; a step that was done twice is there twice."""
    file = folder / f"trace.{rank}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def differences(whole: Path, cut: Path) -> list[str]:
    """What a run that was cut and taken up again did otherwise than the whole one, in any of its steps."""
    expected = {record["step"]: record for record in steps(whole)}
    found = steps(cut)
    missing = [f"step {step} is missing" for step in expected if step not in {record["step"] for record in found}]
    return missing + [
        f"step {record['step']}: another {name}"
        for record in found
        for name, value in record.items()
        if value != expected[record["step"]][name]
    ]


def points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The points of every metric of the only MLflow run of a folder, in the order of their steps."""
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("cogrl").experiment_id])
    return {
        name: sorted((metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name))
        for name in run.data.metrics
        if not name.startswith(TIMED) and name != "epoch"  # Lightning adds the epoch to each batch of metrics
    }
