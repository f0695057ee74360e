"""Echo on the embedded model, three seeds and variants, two at a time: python experiments/echo_mini/run.py

Writes results.json and results.md from every report that is there. Finished steps are not run again.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cogrl.cli.pipeline.durations import step_seconds, time_table
from cogrl.cli.pipeline.experiment import experiment_options, write_results
from cogrl.cli.pipeline.side_by_side import seeds_and_overlays
from cogrl.evaluate.choice.seed_answers import Asked, by_task, figure, leaves_out_zero, part, read_answers
from cogrl.evaluate.seeds import Record, SeedFigure
from cogrl.evaluate.tables import number, percent
from cogrl.markdown import markdown_table

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
PIPELINE = "configs/pipelines/echo_mini.yaml"
VARIANTS = tuple(sorted(file.stem for file in HERE.glob("*.yaml")))
REPORTS = ("report", "report_one_pass")
ON = "sft_on"
SEGMENTS = {
    "clips": "clips inserted",
    "seconds": "seconds of them",
    "audio_tokens": "audio tokens inserted",
    "hit": "evidence within what is cited, %",
    "iou": "IoU of what is cited with the evidence, %",
    "invalid": "tags refused",
}
SHARES = ("hit", "iou")
OF_GRPO = ("credit", "longer", "price", "tower")
"""Variants of GRPO alone."""


def right(record: Record) -> float:
    return float(record["right"])


def run_dir(seed: int, variant: str = "") -> Path:
    folder = f"echo_mini_ablations/{variant}" if variant else "echo_mini"
    return ROOT / "runs" / folder / f"seed{seed}"


def files(seed: int, variant: str = "") -> list[Path]:
    """The answers of a run that are there."""
    found = [run_dir(seed, variant) / report / "answers_choice.jsonl" for report in REPORTS]
    return [file for file in found if file.is_file()]


def read(seeds: Sequence[int], variant: str = "") -> dict[str, Asked]:
    """By policy: the answers of each seed, those of answering in one pass among them."""
    found = {}
    for same in zip(*(files(seed, variant) for seed in seeds), strict=True):
        found |= read_answers(same)
    return {policy: asked for (policy, _), asked in found.items()}


def segments(record: Record, name: str) -> float:
    """A figure of the segments in an answer."""
    found = record["segments"][name]
    return float(sum(found.values()) if name == "invalid" else found or 0.0)


def figures(asked: Asked) -> dict[str, SeedFigure]:
    """Accuracy over all questions and by task, and what is cited and inserted."""
    found = {"accuracy": figure(asked, right)} | {f"task {name}": one for name, one in by_task(asked, right).items()}
    if "segments" in asked[0][0]:
        found |= {name: figure(asked, lambda record, name=name: segments(record, name)) for name in SEGMENTS}
    return found


def summary(seeds: Sequence[int]) -> dict:
    """Everything in results.json: each policy and condition, and what the first of a pair has over the second."""
    full = read(seeds)
    policies = {name: figures(asked) for name, asked in full.items()}
    pairs = {f"{ON} minus {other}": (full[ON], asked) for other, asked in full.items() if other != ON}
    pairs["grpo_on minus grpo_off"] = full["grpo_on"], full["grpo_off"]
    for variant in VARIANTS:
        there = [seed for seed in seeds if files(seed, variant)]
        same = read(there) if there else {}
        for name, asked in (read(there, variant) if there else {}).items():
            policies[name] = figures(asked)
            pairs[f"{ON} minus {name}"] = same[ON], asked
            if variant in OF_GRPO:
                pairs[f"{name} minus grpo_on"] = asked, same["grpo_on"]
    return {
        "seeds": list(seeds),
        "policies": policies,
        "differences": {name: gain(*pair) for name, pair in pairs.items()},
    }


def gain(asked: Asked, minus: Asked) -> dict[str, SeedFigure]:
    """The difference of accuracy over all questions, and over those of task `say`."""
    said, others = (part(answers, lambda record: record["task"] == "say") for answers in (asked, minus))
    return {"accuracy": figure(asked, right, minus), "task say": figure(said, right, others)}


def shown(name: str, found: Mapping[str, SeedFigure]) -> str:
    if name not in found:
        return ""
    return percent(found[name]) if name in SHARES or name not in SEGMENTS else number(found[name], 2)


def starred(name: str, found: Mapping[str, SeedFigure]) -> str:
    return shown(name, found) + (" *" if leaves_out_zero(found[name]) else "")


def markdown(result: Mapping) -> str:
    tasks = list(dict.fromkeys(key for found in result["policies"].values() for key in found if key not in SEGMENTS))
    accuracy = [[name, *(shown(key, found) for key in tasks)] for name, found in result["policies"].items()]
    cited = [
        [name, *(shown(key, found) for key in SEGMENTS)]
        for name, found in result["policies"].items()
        if "clips" in found
    ]
    gains = [[name, *(starred(key, found) for key in ("accuracy", "task say"))] for name, found in result["differences"].items()]
    return (
        f"Means over {len(result['seeds'])} seeds, or as many as a variant was run on, on the same test questions. Intervals: 95 %, bootstrap over the clips "
        "of the seeds' means; they say nothing about other voices, words or seeds. A * marks a "
        "difference whose interval leaves 0 out.\n\nAccuracy, %:\n\n"
        + markdown_table(["policy", *tasks], accuracy)
        + "\nDifferences, in points:\n\n"
        + markdown_table(["", "accuracy", "task say"], gains)
        + "\nSegments of an answer:\n\n"
        + markdown_table(["policy", *SEGMENTS.values()], cited)
        + "\n"
        + time_table(result["seconds"])
    )


def main() -> None:
    options = experiment_options(__doc__, VARIANTS)
    if not options.no_run:
        corpora = {"the corpus they share": ["build", "eaqa", "--out", "data/eaqa-mini"]}
        overlays = [f"experiments/echo_mini/{name}.yaml" for name in options.only]
        seeds_and_overlays(ROOT, PIPELINE, corpora, options.seeds, overlays)
    result = summary(options.seeds)
    result["seconds"] = {str(seed): step_seconds(run_dir(seed)) for seed in options.seeds}
    write_results(HERE, result, markdown(result))


if __name__ == "__main__":
    main()
