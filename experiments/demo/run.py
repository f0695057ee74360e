"""The demo over three seeds, two at a time, and the README's tables: python experiments/demo/run.py

Writes seeds.json, seeds.md and the parts of README.md between the `demo` markers. Finished steps are not run again.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from mlflow import MlflowClient

from cogrl.evaluate.stats import bootstrap_mean

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
SEEDS = (0, 1, 2)
POLICIES = ("untrained", "sft", "dr_sapo")


def run_dir(seed: int) -> Path:
    return ROOT / "runs" / ("demo" if seed == 0 else f"demo-seed{seed}")


def start(seed: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "cogrl.cli.main", "run", "configs/pipelines/demo.yaml"]
    command += ["--set", f"seed={seed}", "--set", f"run_dir={run_dir(seed).relative_to(ROOT)}"]
    command += [] if seed == 0 else ["--set", f"vars.model=models/tiny-seed{seed}"]
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"})


def run_all() -> None:
    MlflowClient(f"sqlite:///{ROOT}/mlflow.db").search_experiments()  # two runs must not set the store up at once
    first = start(SEEDS[0])  # makes the corpus the others share
    while not (ROOT / "data/lime-mini/test.jsonl").exists() and first.poll() is None:
        time.sleep(1)
    running, waiting = {SEEDS[0]: first}, list(SEEDS[1:])
    while running or waiting:
        while waiting and len(running) < 2:
            seed = waiting.pop(0)
            running[seed] = start(seed)
        time.sleep(2)
        for seed, process in list(running.items()):
            if process.poll() is not None:
                if process.returncode:
                    raise SystemExit(f"seed {seed} failed; see {run_dir(seed)}")
                del running[seed]


def answers(seed: int) -> dict[str, list[dict]]:
    lines = (run_dir(seed) / "report" / "answers.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return {policy: [r for r in records if r["policy"] == policy] for policy in POLICIES}


def values(records: list[dict], name: str) -> np.ndarray:
    if name == "emotion accuracy":
        return np.array([float(r["perceived"] == r["emotion"]) for r in records])
    return np.array([r["reward"][name[-1]] for r in records])


def both_ways(values: np.ndarray, cells: list[str], n: int = 2000) -> tuple[float, float]:
    """A 95 % interval that draws speakers AND sentences anew: for other speakers and sentences, not for these."""
    speakers, sentences = (np.unique([cell.split("/")[i] for cell in cells], return_inverse=True)[1] for i in (0, 1))
    sums, counts = np.zeros((2, speakers.max() + 1, sentences.max() + 1))
    np.add.at(sums, (speakers, sentences), values)
    np.add.at(counts, (speakers, sentences), 1)
    rng, means = np.random.default_rng(0), []
    for _ in range(n):
        rows, columns = (rng.integers(size, size=size) for size in sums.shape)
        drawn = np.ix_(rows, columns)
        means.append(sums[drawn].sum() / counts[drawn].sum())
    return tuple(np.quantile(means, [0.025, 0.975]).round(4).tolist())


def by_speaker(values: np.ndarray, cells: list[str]) -> dict[str, float]:
    names = np.array([cell.split("/")[0] for cell in cells])
    return {name: round(float(values[names == name].mean()), 4) for name in np.unique(names)}


def summary() -> dict:
    """Each figure: the mean over seeds and clips, its interval over cells of seed means, and the mean of each seed."""
    seeds = {seed: answers(seed) for seed in SEEDS}
    cells = [r["cell"] for r in seeds[SEEDS[0]]["sft"]]
    result: dict = {}
    for name in ("emotion accuracy", "reward A", "reward B"):
        per = {p: np.stack([values(seeds[s][p], name) for s in SEEDS]) for p in POLICIES}
        per["dr_sapo minus sft"] = per["dr_sapo"] - per["sft"]
        result[name] = {
            policy: vars(bootstrap_mean(v.mean(0), cells)) | {"seeds": v.mean(1).round(4).tolist()}
            for policy, v in per.items()
        }
        gain = per["dr_sapo minus sft"].mean(0)
        result[name]["dr_sapo minus sft"] |= {"both_ways": both_ways(gain, cells), "speakers": by_speaker(gain, cells)}
    return result


def markdown(result: dict) -> str:
    columns = [*POLICIES, "DR-SAPO minus SFT", "seed by seed", "speaker by speaker", "speakers and sentences drawn anew"]
    lines = ["| | " + " | ".join(columns) + " |\n", "|---" * (len(columns) + 1) + "|\n"]
    for name, row in result.items():
        scale, digits = (100, 1) if "accuracy" in name else (1, 3)
        cells = []
        for policy in (*POLICIES, "dr_sapo minus sft"):
            mean, low, high = (scale * row[policy][k] for k in ("mean", "low", "high"))
            cells.append(f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]")
        gain = row["dr_sapo minus sft"]
        for values in (gain["seeds"], gain["speakers"].values()):
            cells.append(", ".join(f"{scale * v:+.{digits}f}" for v in values))
        cells.append("[{:.{d}f}, {:.{d}f}]".format(*(scale * v for v in gain["both_ways"]), d=digits))
        lines.append(f"| {name}{', %' if scale == 100 else ''} | " + " | ".join(cells) + " |\n")
    return "".join(lines)


def put(text: str, name: str, body: str) -> str:
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, rest = text.split(begin)
    return before + begin + "\n\n" + body.strip() + "\n\n" + end + rest.split(end)[1]


def main() -> None:
    run_all()
    result = summary()
    (HERE / "seeds.json").write_text(json.dumps(result, indent=1) + "\n")
    (HERE / "seeds.md").write_text(markdown(result))
    readme = ROOT / "README.md"
    text = put(readme.read_text(), "demo-seeds", markdown(result))
    text = put(text, "demo-report", (run_dir(0) / "report" / "report.md").read_text())
    readme.write_text(text)
    print(markdown(result))


if __name__ == "__main__":
    main()
