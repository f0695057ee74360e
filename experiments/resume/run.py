"""Twenty kills at random moments, every stage: does each run go on to the same numbers?

    python experiments/resume/run.py --corpus data/lime-mini --policy models/tiny

The folders are those of `cogrl build lime-mini` and `cogrl build tiny-model`. A trial kills a run with SIGKILL some
time after it has begun, for the n-th time, to write, sample, score, update or validate; n and the time are drawn. The
same command with `--ckpt_path last` then finishes it, and it is compared with a run that nobody killed: the loss of
every step and digests of the weights and the random numbers behind it to the bit, and the points in MLflow, each
once. Writes results.json and results.md beside this file, after every trial; trials that are there are not made again.
"""

import argparse
import json
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import torch
from mlflow import MlflowClient

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "faults"))

from killed_runs import Corpus, differences, finished, killing, points, steps  # noqa: E402

from cogrl.cli.main import main as cogrl  # noqa: E402
from cogrl.markdown import markdown_table  # noqa: E402

PLAN = {
    "sft": ("writing", "updating", "validating"),
    "align": ("writing", "updating"),
    "distill": ("writing", "sampling", "updating"),
    "perceive": ("writing", "updating"),
    "perceive_frames": ("writing", "updating"),
    "dr_sapo": ("writing", "sampling", "scoring", "updating"),
    "grpo": ("writing", "sampling", "scoring", "updating"),
}
TIMES = {"writing": 3, "validating": 2, "updating": 10, "sampling": 4, "scoring": 3}
"""How often each moment comes in ten steps, at least."""


def trials(seed: int) -> list[dict]:
    """The plan with a drawn number of times, loader workers, and seconds until the kill."""
    draw = random.Random(seed)
    return [
        {
            "stage": stage,
            "moment": moment,
            "count": draw.randint(1, TIMES[moment]) + (moment == "validating"),
            "delay_s": round(draw.choice([0.0, draw.uniform(0, 0.1)]), 3),
            "workers": draw.choice([0, 2]),
        }
        for stage, moments in PLAN.items()
        for moment in moments
    ]


def kept(folder: Path) -> int | None:
    """The step of the newest checkpoint."""
    found = [folder / "run/checkpoints" / name for name in ("last.ckpt", "previous.ckpt")]
    return next((torch.load(path, weights_only=True)["global_step"] for path in found if path.exists()), None)


def tried(trial: dict, corpus: Corpus, whole: Path, folder: Path) -> dict:
    """What came of one trial."""
    args = corpus.arguments(trial["stage"], f"--data.workers={trial['workers']}")
    status = finished([*args, killing(trial["moment"], trial["count"], trial["delay_s"])], folder)
    died, reached, done = (folder / "moment").read_text(), kept(folder), len(steps(folder))
    status = status, finished([*args, *(["--ckpt_path=last"] if reached else ["--overwrite=true"])], folder)
    found = {"died": died, "steps": done, "checkpoint": reached, "status": status}
    if status != (-9, 0):
        return found | {"log": (folder / "log.txt").read_text()[-2000:]}
    found |= {"differences": differences(whole, folder)}
    return found | ({"same_points": points(folder) == points(whole)} if reached else {})


def holds(result: dict) -> bool:
    return result.get("differences") == [] and result.get("same_points", True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    policy, manifests = options.policy.absolute(), options.corpus.absolute()
    file = HERE / "results.json"
    results = json.loads(file.read_text())["trials"] if file.exists() else []
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        MlflowClient("sqlite:///empty.db").search_experiments()
        spoken = Corpus(policy, manifests / "sft.jsonl", manifests / "val.jsonl")
        events = Corpus(policy, Path(scratch) / "data/eaqa-mini/short.jsonl", None)
        wholes: dict[str, Path] = {}

        def folder() -> Path:
            made = Path(tempfile.mkdtemp(dir=scratch))
            shutil.copy("empty.db", made / "mlflow.db")
            return made

        known = [result["trial"] for result in results]
        for trial in trials(options.seed):
            if trial in known:
                continue
            begun, stage = time.monotonic(), trial["stage"]
            corpus = events if stage == "perceive_frames" else spoken
            if corpus is events and not events.train.exists():
                cogrl(["build", "eaqa", "--tier", "smoke", "--clips", "short=12", "--workers", "1"])
            if stage not in wholes:
                wholes[stage] = folder()
                assert finished(corpus.arguments(stage), wholes[stage]) == 0, (wholes[stage] / "log.txt").read_text()
            result = {"trial": trial, **tried(trial, corpus, wholes[stage], folder())}
            results.append(result)
            print(f"{len(results)}: {trial} {'holds' if holds(result) else result}", flush=True)
            print(f"   {time.monotonic() - begun:.0f} s", flush=True)
            machine = {"machine": platform.processor() or platform.machine(), "torch": torch.__version__}
            file.write_text(json.dumps({**machine, "trials": results}, indent=1) + "\n")
            (HERE / "results.md").write_text(table(results), encoding="utf-8")


def table(results: list[dict]) -> str:
    rows = [
        [
            result["trial"]["stage"],
            f"{result['trial']['moment']} {result['trial']['count']}, {1000 * result['trial']['delay_s']:.0f} ms in",
            result["died"],
            str(result["steps"]),
            str(result["checkpoint"] or "none, begun anew"),
            "yes" if holds(result) else "**no**",
        ]
        for result in results
    ]
    titles = ["stage", "killed at", "while", "steps done", "went on from step", "same to the bit"]
    return markdown_table(titles, rows)


if __name__ == "__main__":
    main()
