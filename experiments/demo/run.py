"""The demo over three seeds, two at a time, and its tables: python experiments/demo/run.py

Writes seeds.json, seeds.md and report.md, the report of seed 0. Finished steps are not run again.
"""

import json
from pathlib import Path

import numpy as np

from cogrl.cli.pipeline.side_by_side import side_by_side
from cogrl.evaluate.seeds import over_seeds, read_seeds
from cogrl.markdown import markdown_table

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
SEEDS = (0, 1, 2)
POLICIES = ("untrained", "sft", "dr_sapo")
FIGURES = {"emotion accuracy": "label", "reward eips": "reward_eips", "reward direct": "reward_direct"}


def run_dir(seed: int) -> Path:
    return ROOT / "runs" / ("demo" if seed == 0 else f"demo-seed{seed}")


def command(seed: int) -> list[str]:
    words = ["run", "configs/pipelines/demo.yaml", "--set", f"seed={seed}"]
    words += ["--set", f"run_dir={run_dir(seed).relative_to(ROOT)}"]
    return words + ([] if seed == 0 else ["--set", f"vars.model=models/tiny-seed{seed}"])


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
    answered = read_seeds([run_dir(seed) / "report" / "answers.jsonl" for seed in SEEDS])
    cells = answered["sft"].cells
    result: dict = {}
    for name, value in FIGURES.items():
        per = {policy: answered[policy].values(value) for policy in POLICIES}
        per["dr_sapo minus sft"] = per["dr_sapo"] - per["sft"]
        result[name] = {policy: over_seeds(values, cells) for policy, values in per.items()}
        gain = per["dr_sapo minus sft"].mean(0)
        result[name]["dr_sapo minus sft"] |= {"both_ways": both_ways(gain, cells), "speakers": by_speaker(gain, cells)}
    return result


def markdown(result: dict) -> str:
    columns = [
        *POLICIES,
        "DR-SAPO minus SFT",
        "seed by seed",
        "speaker by speaker",
        "speakers and sentences drawn anew",
    ]
    rows = []
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
        rows.append([f"{name}{', %' if scale == 100 else ''}", *cells])
    return markdown_table(["", *columns], rows)


def main() -> None:
    side_by_side({"the corpus they share": ["build", "lime-mini", "--out", "data/lime-mini"]}, ROOT)
    side_by_side({f"seed {seed}": command(seed) for seed in SEEDS}, ROOT)
    result = summary()
    (HERE / "seeds.json").write_text(json.dumps(result, indent=1) + "\n")
    (HERE / "seeds.md").write_text(markdown(result))
    (HERE / "report.md").write_text((run_dir(0) / "report" / "report.md").read_text())
    print(markdown(result))


if __name__ == "__main__":
    main()
