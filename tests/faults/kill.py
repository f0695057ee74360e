"""Signals at random moments to real runs: what is left behind, and does the run go on?

    python tests/faults/kill.py --corpus DIR --policy DIR --trials 48 --at-once 2 --out trials.md

`DIR`s are those of `cogrl build lime-mini` and `cogrl build tiny-model`. A trial starts SFT, DR-SAPO or a pipeline with
one or two processes and zero or two loader workers each, hits it with a signal while it starts, trains, validates or
writes, and then asks: did it end within 30 seconds with the right status, is no process left, is the checkpoint
readable and finite, what does MLflow say, and does the same command finish the run as the same MLflow run?
"""

import argparse
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from mlflow import MlflowClient

from cogrl.markdown import markdown_table

REPOSITORY = Path(__file__).parents[2]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
WITHIN_S = 30
STEPS = 40
MARK = "COGRL_TRIAL"


@dataclass(frozen=True)
class Trial:
    """What is run, in how many processes with how many workers each, what hits it, when, and where."""

    job: str
    processes: int
    workers: int
    signal: signal.Signals
    whole_group: bool
    while_starting: bool
    delay_s: float

    def __str__(self) -> str:
        where = "the group" if self.whole_group else "the first process"
        when = "its start" if self.while_starting else "its first checkpoint"
        return (
            f"{self.job}, {self.processes} process(es), {self.workers} worker(s): {self.signal.name} to {where} "
            f"{self.delay_s:.1f} s after {when}"
        )


def trials(number: int, seed: int) -> list[Trial]:
    """`number` trials in which every job, size and signal comes equally often; only the moments are random."""
    rng = random.Random(seed)
    plan = list(itertools.product(("sft", "dr_sapo", "run"), (1, 2), (0, 2), SIGNALS))
    rng.shuffle(plan)
    found = []
    for job, processes, workers, number_of in itertools.islice(itertools.cycle(plan), number):
        starting = rng.random() < 0.25
        delay = rng.uniform(0.2, 12) if starting else rng.uniform(0, 4)
        group = number_of != signal.SIGKILL and rng.random() < 0.5
        found.append(Trial(job, processes, workers, number_of, group, starting, delay))
    return found


def run_trial(trial: Trial, corpus: Path, policy: Path, folder: Path) -> str:
    """Run one trial in an empty folder; says in a few words what happened. Raises AssertionError on what must not."""
    args = arguments(trial, corpus, policy, folder)
    mark = uuid.uuid4().hex
    run_dir = folder / ("runs/two/sft" if trial.job == "run" else "run")
    checkpoint = run_dir / "checkpoints" / "last.ckpt"
    with open(folder / "log.txt", "w") as log:
        process = started(args, folder, mark, log)
        try:
            if not trial.while_starting:
                wait_for(checkpoint.exists, process, 240)
            time.sleep(trial.delay_s)
            assert process.poll() is None, "the run ended before the signal"
            hit = time.monotonic()
            (os.killpg if trial.whole_group else os.kill)(process.pid, trial.signal)
            status = process.wait(WITHIN_S)
            wait_for_the_end_of_all(mark, hit)
            took = time.monotonic() - hit
        finally:
            for left in processes_of(mark):
                os.kill(left, signal.SIGKILL)
    expected = {-trial.signal, 128 + trial.signal}
    assert status in expected, f"status {status}, expected one of {sorted(expected)}\n{tail(folder)}"
    reached = step_of(checkpoint)
    found = statuses(folder)
    check_statuses(trial, found)
    with open(folder / "log.txt", "a") as log:
        resumed = started([*args, *resume_arguments(trial, reached)], folder, mark, log)
        status = resumed.wait(400)
    assert status == 0, f"the run does not go on: status {status}\n{tail(folder)}"
    final = statuses(folder)
    if reached is None:  # there was nothing to go on from: another run was begun, and finished
        assert "FINISHED" in final.values(), f"after the run was begun again MLflow says {final}"
    else:
        assert set(final.values()) == {"FINISHED"}, f"after the run went on MLflow says {final}"
        assert len(final) == len(found), f"{found} became {final}: another run was begun"
    return f"ended in {took:.1f} s, checkpoint of step {reached}, MLflow {' '.join(sorted(found.values())) or 'no run'}"


def arguments(trial: Trial, corpus: Path, policy: Path, folder: Path) -> list[str]:
    """The words after `cogrl`, for a run that lasts until it is stopped (or, in a pipeline, `STEPS` steps)."""
    stage = "dr_sapo" if trial.job == "dr_sapo" else "sft"
    files = [str(REPOSITORY / "configs" / f"{name}.yaml") for name in (f"stage/{stage}", "policy/tiny", "trainer/cpu")]
    settings = {
        "model.policy.path": str(policy),
        "data.train": str(corpus / "sft.jsonl"),
        "data.val": str(corpus / "val.jsonl"),
        "data.batch_size": 2,
        "data.workers": trial.workers,
        "trainer.accelerator": "cpu",
        "trainer.devices": trial.processes,
        "trainer.strategy": "ddp" if trial.processes > 1 else "auto",
        "trainer.val_check_interval": 3,
        "trainer.check_val_every_n_epoch": None,
        "trainer.log_every_n_steps": 1,
        "checkpoint.every_n_steps": 2,
    }
    if stage == "dr_sapo":
        settings |= {"model.group_size": 2, "model.sampling.max_new_tokens": 6}
    if trial.job != "run":
        settings |= {"trainer.max_steps": 1_000_000, "run_dir": "run"}
        words = [word for file in files for word in ("--config", file)]
        return ["fit", *words, *(f"--{name}={json.dumps(v).strip(chr(34))}" for name, v in settings.items())]
    settings |= {"trainer.max_steps": STEPS, "trainer.callbacks": [{"class_path": "slow_steps.SlowSteps"}]}
    step = {"name": "sft", "fit": {"config": files, "overrides": settings}}
    (folder / "two.yaml").write_text(yaml.safe_dump({"name": "two", "run_dir": "runs/two", "steps": [step]}))
    return ["run", "two.yaml"]


def resume_arguments(trial: Trial, reached: int | None) -> list[str]:
    """What the same command needs besides to go on, and to end soon."""
    if trial.job == "run":
        return []
    return [f"--trainer.max_steps={(reached or 0) + 2}", *(["--ckpt_path=last"] if reached else [])]


def started(args: list[str], folder: Path, mark: str, log) -> subprocess.Popen:
    paths = os.pathsep.join(str(path) for path in (REPOSITORY, REPOSITORY / "kernels", Path(__file__).parent))
    return subprocess.Popen(
        [sys.executable, "-m", "cogrl.cli.main", *args],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", MARK: mark},
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def wait_for(ready: Callable[[], bool], process: subprocess.Popen, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, f"the run ended with status {process.returncode}"
        assert time.monotonic() < end, "no checkpoint appeared"
        time.sleep(0.05)


def wait_for_the_end_of_all(mark: str, since: float) -> None:
    """Returns when no process of `mark` is left; raises AssertionError `WITHIN_S` seconds after `since`."""
    while left := list(processes_of(mark)):
        assert time.monotonic() - since < WITHIN_S, f"processes {left} are left"
        time.sleep(0.1)


def processes_of(mark: str) -> Iterator[int]:
    """Living processes that were started with `mark` in their environment."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    yield int(entry.name)
            except OSError:  # it has ended, or is a zombie
                continue


def step_of(checkpoint: Path) -> int | None:
    """The step of a checkpoint, which must be readable and finite; None where there is none yet."""
    kept = [path for path in (checkpoint, checkpoint.with_name("previous.ckpt")) if path.exists()]
    if not kept:
        return None
    state = torch.load(kept[0], weights_only=True)
    assert all(value.isfinite().all() for value in state["state_dict"].values()), "the checkpoint is not finite"
    return state["global_step"]


def statuses(folder: Path) -> dict[str, str]:
    """Run id -> status of all runs in the folder's MLflow store."""
    if not (folder / "mlflow.db").exists():
        return {}
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("cogrl")
    return {r.info.run_id: r.info.status for r in client.search_runs([experiment.experiment_id])} if experiment else {}


def check_statuses(trial: Trial, found: dict[str, str]) -> None:
    """KILLED, wherever a process was left to write it: SIGKILL leaves the run RUNNING until it is taken up again.

    The step of a killed pipeline is stopped in good order, the pipeline's own run stays RUNNING.
    """
    allowed = {"RUNNING"} | ({"KILLED"} if trial.job == "run" else set())
    assert set(found.values()) <= (allowed if trial.signal == signal.SIGKILL else {"KILLED"}), f"MLflow says {found}"


def tail(folder: Path) -> str:
    return "\n".join((folder / "log.txt").read_text(errors="replace").splitlines()[-30:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # not ignored, as children of nohup or & would
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

    def outcome(numbered: tuple[int, Trial]) -> tuple[Trial, bool, str]:
        number, trial = numbered
        with tempfile.TemporaryDirectory() as folder:
            try:
                result = True, run_trial(trial, options.corpus.absolute(), options.policy.absolute(), Path(folder))
            except (AssertionError, subprocess.TimeoutExpired) as error:
                result = False, str(error)
        print(f"{number + 1}/{options.trials} {trial}: {'' if result[0] else 'FAILED, '}{result[1]}", flush=True)
        return trial, *result

    with ThreadPoolExecutor(options.at_once) as pool:
        found = list(pool.map(outcome, enumerate(trials(options.trials, options.seed))))
    if options.out:
        options.out.write_text(table(found), encoding="utf-8")
    sys.exit(0 if all(good for _, good, _ in found) else 1)


def table(found: list[tuple[Trial, bool, str]]) -> str:
    rows = [[str(trial), "yes" if good else "**no**", text.splitlines()[0]] for trial, good, text in found]
    return markdown_table(["trial", "holds", "what happened"], rows)


if __name__ == "__main__":
    main()
