"""RE-LLM on the embedded model, three seeds and ablations, two at a time: python experiments/re_llm_mini/run.py

Writes results.json and results.md from every report that is there. Finished steps are not run again.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from cogrl.cli.pipeline.durations import step_seconds, time_table
from cogrl.cli.pipeline.experiment import experiment_options, write_results
from cogrl.cli.pipeline.side_by_side import seeds_and_overlays, side_by_side
from cogrl.evaluate.choice.seed_answers import leaves_out_zero
from cogrl.evaluate.seeds import Answered, Record, SeedFigure, over_seeds, read_seeds
from cogrl.evaluate.stats import signed_rank
from cogrl.evaluate.tables import number, percent
from cogrl.markdown import markdown_table

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
PIPELINE = "configs/pipelines/re_llm_mini.yaml"
FULL = "re_llm"
MODELS = ("text", "speech", FULL)
VARIANTS = tuple(sorted(file.stem for file in HERE.glob("*.yaml")))
PAIRS = ((FULL, "speech"), (FULL, "text"), ("speech", "text"))


def run_dir(variant: str, seed: int) -> Path:
    folder = "re_llm_mini" if variant == FULL else f"re_llm_mini_ablations/{variant}"
    return ROOT / "runs" / folder / f"seed{seed}"


def each(worth: Callable[[Record], float]) -> Callable[[Answered], np.ndarray]:
    """What every answer is worth: seeds x clips."""
    return lambda answered: np.array([[worth(record) for record in seed] for seed in answered.records])


VALUES: Mapping[str, tuple[str, Callable[[Answered], np.ndarray]]] = {
    "ER": ("ER, 0-2", each(lambda record: float(record["levels"]["ER"]["direct"]))),
    "EX": ("EX, 0-2", each(lambda record: float(record["levels"]["EX"]["direct"]))),
    "ua": ("UA, %", Answered.recalled),
    "reply": ("reply, %", each(lambda record: float(record["replied"]["direct"] == record["emotion"]))),
    "tokens": ("tokens", each(lambda record: float(record["tokens"]["direct"]))),
}
SHARES = ("ua", "reply")


def figures(answered: Answered) -> dict[str, SeedFigure]:
    return {name: over_seeds(worth(answered), answered.cells) for name, (_, worth) in VALUES.items()}


def gains(after: Answered, before: Answered) -> dict[str, SeedFigure]:
    """After minus before on the same clips and seeds; the signed-rank test pairs the (speaker, sentence) cells."""
    found = {}
    for name, (_, worth) in VALUES.items():
        new, old = worth(after), worth(before)
        p = signed_rank(new.mean(0), old.mean(0), after.cells)
        relative = float(new.mean() / old.mean() - 1) if old.mean() else None
        found[name] = over_seeds(new - old, after.cells) | {"p_signed_rank": p, "relative": relative}
    return found


def read(variant: str, seeds: Sequence[int]) -> dict[str, Answered]:
    return read_seeds([run_dir(variant, seed) / "report" / "answers.jsonl" for seed in seeds])


def summary(seeds: Sequence[int]) -> dict:
    """Everything in results.json: the three models, what each has over another, and each variant beside the full one."""
    models = read(FULL, seeds)
    variants = {}
    for variant in VARIANTS:
        there = [seed for seed in seeds if (run_dir(variant, seed) / "report" / "answers.jsonl").exists()]
        if there:
            mine = read(variant, there)[FULL]
            same = {name: Answered([models[name].records[seeds.index(seed)] for seed in there]) for name in MODELS}
            variants[variant] = {
                "seeds": there,
                "figures": figures(mine),
                "minus re_llm": gains(mine, same[FULL]),
                "minus speech": gains(mine, same["speech"]),
            }
    return {
        "seeds": list(seeds),
        "clips": len(models[FULL].cells),
        "cells": len(set(models[FULL].cells)),
        "models": {name: figures(models[name]) for name in MODELS},
        "gains": {f"{a} minus {b}": gains(models[a], models[b]) for a, b in PAIRS},
        "variants": variants,
    }


def shown(name: str, found: Mapping[str, SeedFigure]) -> str:
    return percent(found[name]) if name in SHARES else number(found[name], 1 if name == "tokens" else 3)


def gained(name: str, found: Mapping[str, SeedFigure]) -> str:
    """With a * where the interval leaves 0 out, and the p-value of the signed-rank test."""
    star = " *" if leaves_out_zero(found[name]) else ""
    return f"{shown(name, found)}{star}, p = {found[name]['p_signed_rank']:.2g}"


def seed_by_seed(name: str, found: Mapping[str, SeedFigure]) -> str:
    scale, digits = (100, 1) if name in SHARES else (1, 1 if name == "tokens" else 3)
    return ", ".join(f"{scale * value:.{digits}f}" for value in found[name]["seeds"])


def markdown(result: Mapping) -> str:
    titles = [title for title, _ in VALUES.values()]
    models = [[name, *(shown(key, found) for key in VALUES)] for name, found in result["models"].items()]
    by_seed = [[name, *(seed_by_seed(key, found) for key in VALUES)] for name, found in result["models"].items()]
    differences = [[name, *(gained(key, found) for key in VALUES)] for name, found in result["gains"].items()]
    relative = [
        [name, *("-" if found[key]["relative"] is None else f"{100 * found[key]['relative']:+.1f}" for key in VALUES)]
        for name, found in result["gains"].items()
    ]
    text = (
        f"Means over {len(result['seeds'])} seeds on {result['clips']} test clips; the text model reads their words alone. ER "
        "and EX: levels of the direct reply by classifiers trained on the embedded rated corpus, which read a description of "
        "words and voice. UA: mean recall of the emotion that eips names, a format that step B never trains. Reply: the "
        "reply fits the emotion. Intervals: 95 %, bootstrap over (speaker, sentence) cells of the seeds' means; p: "
        f"Wilcoxon's signed-rank test on the {result['cells']} cells, two-sided, not corrected for many tests. Neither holds the "
        "randomness of training, or other speakers and sentences.\n\n"
    )
    text += markdown_table(["model", *titles], models)
    text += "\nGains, in levels, points or tokens; * where the interval leaves 0 out:\n\n"
    text += markdown_table(["", *titles], differences)
    text += "\nThe same in % of the other model's figure:\n\n" + markdown_table(["", *titles], relative)
    text += "\nSeed by seed:\n\n" + markdown_table(["model", *titles], by_seed)
    if result["variants"]:
        rows, against = [], []
        for name, found in result["variants"].items():
            seeds = ", ".join(map(str, found["seeds"]))
            rows.append([name, seeds, *(shown(key, found["figures"]) for key in VALUES)])
            for which in ("minus re_llm", "minus speech"):
                against.append([f"{name} {which}", seeds, *(gained(key, found[which]) for key in VALUES)])
        text += "\nVariants of the RE-LLM model:\n\n" + markdown_table(["variant", "seeds", *titles], rows)
        text += "\n" + markdown_table(["", "seeds", *titles], against)
    return text + "\n" + time_table(result["seconds"])


def main() -> None:
    options = experiment_options(__doc__, VARIANTS)
    if not options.no_run:
        lime = ["build", "lime-mini", "--out", "data/lime-mini"]
        lines = ["--manifest", "data/lime-mini/sft.jsonl"]
        shared = {
            "the classifiers they share": ["build", "epitome-mini", *lines, "--out", "models/epitome-mini"],
            "the emotion encoder they share": ["build", "emotion-encoder", *lines, "--seed", "0", "--out", "models/emotion"],
        }
        overlays = [f"experiments/re_llm_mini/{variant}.yaml" for variant in options.only]
        side_by_side({"the corpus they share": lime}, ROOT)
        seeds_and_overlays(ROOT, PIPELINE, shared, options.seeds, overlays)
    result = summary(options.seeds)
    result["seconds"] = {str(seed): step_seconds(run_dir(FULL, seed)) for seed in options.seeds}
    write_results(HERE, result, markdown(result))


if __name__ == "__main__":
    main()
