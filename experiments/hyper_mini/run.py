"""HyPeR on the embedded model, three seeds and ablations, two at a time: python experiments/hyper_mini/run.py

Writes results.json and results.md from every report that is there. Finished steps are not run again.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from cogrl.cli.pipeline.durations import step_seconds, time_table
from cogrl.cli.pipeline.experiment import experiment_options, write_results
from cogrl.cli.pipeline.side_by_side import seeds_and_overlays
from cogrl.evaluate.choice.controls import CONTROL_TITLES
from cogrl.evaluate.choice.seed_answers import Asked, by_task, figure, leaves_out_zero, part, read_answers
from cogrl.evaluate.perception.figures import BANDS_DB, in_band
from cogrl.evaluate.seeds import Record, SeedFigure
from cogrl.evaluate.tables import number, percent
from cogrl.markdown import markdown_table
from cogrl.rewards.perception.claims import HEARD

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
PIPELINE = "configs/pipelines/hyper_mini.yaml"
FULL = "hyper"
VARIANTS = tuple(sorted(file.stem for file in HERE.glob("*.yaml")))
TESTS = ("report", "msqa_hard", "envqa_hard")
"""Folders of a run with the answers to the test questions and to the two hard subsets."""
ALONE = "speech_alone"
"""The folder with the answers to the test questions about their speech without the environment."""


def run_dir(variant: str, seed: int) -> Path:
    folder = "hyper_mini" if variant == FULL else f"hyper_mini_ablations/{variant}"
    return ROOT / "runs" / folder / f"seed{seed}"


def right_claims(record: Record) -> float:
    return float(np.mean([record["perception"]["claims"][section]["right"] for section in HEARD]))


def section(name: str) -> Callable[[Record], float]:
    return lambda record: record["perception"]["claims"][name]["right"]


def claims(status: str) -> Callable[[Record], float]:
    return lambda record: float(sum(found[status] for found in record["perception"]["claims"].values()))


VALUES: Mapping[str, tuple[str, Callable[[Record], float]]] = {
    "accuracy": ("accuracy, %", lambda record: float(record["right"])),
    "implied": ("rule on own trace, %", lambda record: float(record["perception"]["implied"] == record["answer"])),
    "right_claims": ("right claims, %", right_claims),
    **{name: (f"{name}, %", section(name)) for name in HEARD},
    "contradicted": ("contradicted claims", claims("contradicted")),
    "unverifiable": ("unverifiable claims", claims("unverifiable")),
    "well_formed": ("well-formed, %", lambda record: float(record["perception"]["well_formed"])),
}
COUNTS = ("contradicted", "unverifiable")
PAUSES = {
    "paused": "answers that pause",
    "pauses": "pauses an answer",
    "latent_tokens": "latent tokens an answer",
    "pause_position": "mean place, 0 to 1",
    **{f"pauses_part_{i}": f"pauses in quarter {i}" for i in range(1, 5)},
}
"""What controllers report of answers, and what the table calls it."""


def read(variant: str, seeds: Sequence[int], test: str) -> dict[tuple[str, str], Asked]:
    """By policy and format: the answers of each seed."""
    return read_answers([run_dir(variant, seed) / test / "answers_choice.jsonl" for seed in seeds])


def figures(asked: Asked, minus: Asked | None = None) -> dict[str, SeedFigure]:
    """Every value of answers in sections; of others the accuracy alone."""
    names = VALUES if "perception" in asked[0][0] else ("accuracy",)
    return {name: figure(asked, VALUES[name][1], minus) for name in names}


def of_tasks(asked: Asked, suffix: str = "") -> dict[str, SeedFigure]:
    """Accuracy by task. Tasks are called `task <name>`: one has the name of a section, whose claims stand beside it."""
    return {f"task {task}{suffix}": found for task, found in by_task(asked, VALUES["accuracy"][1]).items()}


def accuracies(asked: Asked, hard: Mapping[str, Asked]) -> dict[str, SeedFigure]:
    """Accuracy by task, by band of SNR where it is known, in each control, and on the hard subsets."""
    right = VALUES["accuracy"][1]
    found = of_tasks(asked)
    if "perception" in asked[0][0]:
        for low, high in BANDS_DB:
            inside = part(asked, lambda record, low=low, high=high: in_band(record["perception"]["snr_db"], low, high))
            found[f"{low}-{high} dB"] = figure(inside, right)
    for control, title in CONTROL_TITLES.items():
        if control in asked[0][0]["chosen_in_control"]:
            found[title.removesuffix(", %")] = figure(
                asked, lambda record, control=control: float(record["chosen_in_control"][control] == record["answer"])
            )
    return found | {test: figure(records, right) for test, records in hard.items()}


def summary(seeds: Sequence[int]) -> dict:
    """Everything in results.json: the policies of the full run, what each gained, and each variant beside it."""
    tests = {test: read(FULL, seeds, test) for test in TESTS}
    full = tests["report"]
    direct = read(FULL, seeds, "report_direct")
    hard = {key: {test: tests[test][key] for test in TESTS[1:] if key in tests[test]} for key in full}
    alone = read(FULL, seeds, ALONE)
    policies = {
        f"{a} {b}": figures(asked) | accuracies(asked, hard[a, b]) | of_tasks(alone[a, b], ", speech alone")
        for (a, b), asked in full.items()
    }
    policies |= {f"{a} {b}": figures(asked) | accuracies(asked, {}) for (a, b), asked in direct.items()}
    grpo, sft = full["grpo", "paqa"], full["sft", "paqa"]
    differences = {"grpo minus sft": figures(grpo, sft)}
    right = {"accuracy": VALUES["accuracy"][1]}
    answers = {"grpo": direct["grpo_direct", "choice"], "sft": direct["sft_direct", "choice"]}
    pairs = {
        "grpo_direct minus sft_direct": (answers["grpo"], answers["sft"]),
        "sft minus sft_direct": (sft, answers["sft"]),
        "grpo minus grpo_direct": (grpo, answers["grpo"]),
    }
    for name, (after, before) in pairs.items():
        differences[name] = {key: figure(after, value, before) for key, value in right.items()}
    variants = {}
    for variant in VARIANTS:
        there = [seed for seed in seeds if (run_dir(variant, seed) / "report" / "answers_choice.jsonl").exists()]
        if there:
            mine = read(variant, there, "report")["grpo", "paqa"]
            same = [grpo[seeds.index(seed)] for seed in there]
            start = [sft[seeds.index(seed)] for seed in there]
            variants[variant] = {
                "seeds": there,
                "figures": figures(mine),
                "full minus variant": figures(same, mine),
                "variant minus sft": figures(mine, start),
            }
    found = {"seeds": list(seeds), "policies": policies, "differences": differences, "variants": variants}
    return found | {"pauses": pauses(variants["pause"]["seeds"]) if "pause" in variants else {}}


def pauses(seeds: Sequence[int]) -> dict[str, dict]:
    """Of the policy trained with PAUSE, answering with it and with a filler at a random place of each answer: what the controllers
    reported, seed by seed, and what that changes."""
    asked = read("pause", seeds, "report")
    reports = [json.loads((run_dir("pause", seed) / "report" / "report.json").read_text()) for seed in seeds]
    return {
        policy: {
            "reported": {
                name: [report["policies"][policy][f"paqa_rollout_{name}"]["mean"] for report in reports]
                for name in PAUSES
            },
            "minus none": figures(asked[policy, "paqa"], asked["grpo", "paqa"]),
        }
        for policy in ("pausing", "filler")
    }


def shown(name: str, found: Mapping[str, SeedFigure]) -> str:
    if name not in found:
        return ""
    return number(found[name], 2) if name in COUNTS else percent(found[name])


def starred(name: str, found: Mapping[str, SeedFigure]) -> str:
    return shown(name, found) + (" *" if name in found and leaves_out_zero(found[name]) else "")


def markdown(result: Mapping) -> str:
    titles = [title for title, _ in VALUES.values()]
    policies = [[name, *(shown(key, found) for key in VALUES)] for name, found in result["policies"].items()]
    parts = list(dict.fromkeys(key for found in result["policies"].values() for key in found if key not in VALUES))
    rows = [[name, *(shown(key, found) for key in parts)] for name, found in result["policies"].items()]
    gains = [[name, *(starred(key, found) for key in VALUES)] for name, found in result["differences"].items()]
    variants, against = [], []
    for name, found in result["variants"].items():
        seeds = ", ".join(map(str, found["seeds"]))
        variants.append([name, seeds, *(shown(key, found["figures"]) for key in VALUES)])
        for which in ("full minus variant", "variant minus sft"):
            label = f"hyper minus {name}" if which.startswith("full") else f"{name} minus sft"
            against.append([label, seeds, *(starred(key, found[which]) for key in VALUES)])
    text = (
        f"Means over {len(result['seeds'])} seeds on the same test questions. Intervals: 95 %, bootstrap over the clips "
        "of the seeds' means; they say nothing about other speakers, words or seeds. A * marks a difference whose "
        "interval leaves 0 out. Right claims are supported / max(expected, claimed), the mean of the four "
        "sections.\n\n"
    )
    text += markdown_table(["policy", *titles], policies)
    text += "\nAccuracy, %, by task, SNR, control and on the hard subsets:\n\n" + markdown_table(
        ["policy", *parts], rows
    )
    text += "\nGains, in points (claims an answer):\n\n" + markdown_table(["", *titles], gains)
    if result["pauses"]:
        rows = [
            [name, *(", ".join(f"{x:.2f}" for x in found["reported"][key]) for key in PAUSES)]
            for name, found in result["pauses"].items()
        ]
        text += "\nThe policy trained with PAUSE, seed by seed:\n\n" + markdown_table(
            ["answers", *PAUSES.values()], rows
        )
        rows = [
            [f"{name} minus none", *(starred(key, found["minus none"]) for key in VALUES)]
            for name, found in result["pauses"].items()
        ]
        text += "\n" + markdown_table(["", *titles], rows)
    if variants:
        text += "\nVariants of GRPO:\n\n" + markdown_table(["variant", "seeds", *titles], variants)
        text += "\n" + markdown_table(["", "seeds", *titles], against)
    return text + "\n" + time_table(result["seconds"])


def main() -> None:
    options = experiment_options(__doc__, VARIANTS)
    if not options.no_run:
        plain = ["build", "paqa", "--reflections", "0", "--out", "data/paqa-mini-plain"]
        corpora = {"the corpus they share": ["build", "paqa", "--out", "data/paqa-mini"]}
        if "no_reflections" in options.only:
            corpora["the corpus without reflections"] = plain
        overlays = [f"experiments/hyper_mini/{variant}.yaml" for variant in options.only]
        seeds_and_overlays(ROOT, PIPELINE, corpora, options.seeds, overlays)
    result = summary(options.seeds)
    result["seconds"] = {str(seed): step_seconds(run_dir(FULL, seed)) for seed in options.seeds}
    write_results(HERE, result, markdown(result))


if __name__ == "__main__":
    main()
