"""Audio questions over three seeds, two at a time, and their tables: python experiments/audio_qa_mini/run.py

Writes seeds.json and seeds.md. Finished steps are not run again.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cogrl.cli.pipeline.durations import step_seconds, time_table
from cogrl.cli.pipeline.experiment import experiment_options, write_results
from cogrl.cli.pipeline.side_by_side import seeds_and_overlays
from cogrl.data.text_file import utf8_lines
from cogrl.evaluate.choice.controls import CONTROL_TITLES
from cogrl.evaluate.seeds import Record, SeedFigure, over_seeds
from cogrl.evaluate.tables import percent
from cogrl.markdown import markdown_table

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
PIPELINE = "configs/pipelines/audio_qa_mini.yaml"
POLICIES, FORMATS = ("base", "sft", "grpo"), ("choice", "think_choice")
Asked = Mapping[tuple[str, str], Sequence[Sequence[Record]]]
"""By policy and format: the answers of each seed to the same questions."""


def run_dir(seed: int) -> Path:
    return ROOT / "runs" / "audio_qa_mini" / f"seed{seed}"


def read(files: Sequence[Path]) -> Asked:
    """The `answers_choice.jsonl` of each seed. Raises ValueError where they are not about the same questions."""
    found: dict[tuple[str, str], list[list[Record]]] = {}
    for place, file in enumerate(files):
        for _, line in utf8_lines(file):
            record = json.loads(line)
            seeds = found.setdefault((record["policy"], record["format"]), [[] for _ in files])
            seeds[place].append(record)
    for key, seeds in found.items():
        ids = [[record["id"] for record in records] for records in seeds]
        if any(other != ids[0] for other in ids):
            raise ValueError(
                f"{' and '.join(map(str, files))} are not about the same questions of {key}; run them anew"
            )
    return found


def hits(seeds: Sequence[Sequence[Record]], control: str = "") -> np.ndarray:
    """(seeds, questions): 1.0 where the right choice is named, of the clip or in a control."""
    named = lambda record: record["chosen_in_control"][control] if control else record["chosen"]
    return np.array([[float(named(record) == record["answer"]) for record in records] for records in seeds])


def summary(asked: Asked) -> dict:
    """Everything in seeds.json but the seconds."""
    records = asked["base", "choice"][0]
    cells, tasks = [record["cell"] for record in records], np.array([record["task"] for record in records])
    rows = {"all": np.arange(len(records))} | {task: np.flatnonzero(tasks == task) for task in sorted(set(tasks))}

    def figure(values: np.ndarray, places: np.ndarray) -> SeedFigure:
        return over_seeds(values[:, places], [cells[place] for place in places])

    accuracy = {
        f"{policy} {format}": {
            name: {
                "questions": len(places),
                "chance": float(np.mean([1 / len(records[place]["choices"]) for place in places])),
                "accuracy": figure(hits(seeds), places),
            }
            | {control: figure(hits(seeds, control), places) for control in CONTROL_TITLES}
            for name, places in rows.items()
        }
        for (policy, format), seeds in asked.items()
    }
    pairs = [((a, format), (b, format)) for format in FORMATS for a, b in (("base", "sft"), ("sft", "grpo"))]
    pairs += [((policy, "choice"), (policy, "think_choice")) for policy in POLICIES]
    differences = {
        f"{' '.join(after)} minus {' '.join(before)}": {
            name: figure(hits(asked[after]) - hits(asked[before]), places) for name, places in rows.items()
        }
        for before, after in pairs
    }
    return {"accuracy": accuracy, "differences": differences}


def seed_by_seed(figure: SeedFigure) -> str:
    return ", ".join(f"{100 * value:.1f}" for value in figure["seeds"])


def markdown(result: dict) -> str:
    head = [
        "policy",
        "asked in",
        "task",
        "questions",
        "accuracy, %",
        "chance, %",
        *CONTROL_TITLES.values(),
        "seed by seed",
    ]
    rows = []
    for name, tasks in result["accuracy"].items():
        for task, found in tasks.items():
            figures = [percent(found["accuracy"]), f"{100 * found['chance']:.1f}"]
            figures += [percent(found[control]) for control in CONTROL_TITLES]
            rows.append([*name.split(" "), task, str(found["questions"]), *figures, seed_by_seed(found["accuracy"])])
    table = markdown_table(head, rows)
    rows = [
        [name, *(percent(figure) for figure in found.values()), seed_by_seed(found["all"])]
        for name, found in result["differences"].items()
    ]
    tasks = list(next(iter(result["differences"].values())))
    gains = markdown_table(["points of accuracy", *tasks, "all, seed by seed"], rows)
    notes = (
        f"Means over {len(result['seconds'])} seeds on the same questions. Intervals: 95 %, bootstrap over (speaker, "
        "text) cells, and over clips where a sound has neither, of the seeds' means; they say nothing about other "
        "speakers, texts or seeds. Base is the policy after the warm-up, which was taught to think and never to answer "
        "at once. An answer that names no choice is wrong, so a control can be below chance.\n"
    )
    return "\n".join([notes, table, gains, time_table(result["seconds"])])


def main() -> None:
    options = experiment_options(__doc__)
    if not options.no_run:
        corpora = {"the corpus they share": ["build", "qa-mini", "--out", "data/qa-mini"]}
        seeds_and_overlays(ROOT, PIPELINE, corpora, options.seeds)
    result = summary(read([run_dir(seed) / "report" / "answers_choice.jsonl" for seed in options.seeds]))
    result["seconds"] = {str(seed): step_seconds(run_dir(seed)) for seed in options.seeds}
    write_results(HERE, result, markdown(result), "seeds")


if __name__ == "__main__":
    main()
