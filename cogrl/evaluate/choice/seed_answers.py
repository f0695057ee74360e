"""Answers of several seeds to the same questions, as one: means over seeds with intervals over cells."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from cogrl.data.text_file import utf8_lines
from cogrl.evaluate.seeds import Record, SeedFigure, over_seeds

Asked = Sequence[Sequence[Record]]
"""The answers of each seed to the same questions."""
Value = Callable[[Record], float]
"""What one answer is worth."""


def read_answers(files: Sequence[Path]) -> dict[tuple[str, str], Asked]:
    """By policy and format: what the `answers_choice.jsonl` of each seed say.

    Raises ValueError where they are not about the same questions in the same order.
    """
    found: dict[tuple[str, str], list[list[Record]]] = {}
    for place, file in enumerate(files):
        for _, line in utf8_lines(file):
            record = json.loads(line)
            found.setdefault((record["policy"], record["format"]), [[] for _ in files])[place].append(record)
    for key, asked in found.items():
        ids = [[record["id"] for record in records] for records in asked]
        for file, other in zip(files, ids, strict=True):
            if other != ids[0]:
                raise ValueError(f"{files[0]} and {file} are not about the same questions ({key}); run the seeds anew")
    return found


def figure(asked: Asked, value: Value, minus: Asked | None = None) -> SeedFigure:
    """The mean over seeds of what the answers are worth, or of its difference from other answers to the same."""
    table = np.array([[value(record) for record in records] for records in asked])
    if minus is not None:
        table = table - np.array([[value(record) for record in records] for records in minus])
    return over_seeds(table, [record["cell"] for record in asked[0]])


def part(asked: Asked, inside: Callable[[Record], bool]) -> Asked:
    """The answers for which `inside` holds."""
    return [[record for record in records if inside(record)] for records in asked]


def by_task(asked: Asked, value: Value) -> Mapping[str, SeedFigure]:
    """The figure of each task."""
    tasks = sorted({record["task"] for record in asked[0]})
    return {task: figure(part(asked, lambda record, task=task: record["task"] == task), value) for task in tasks}


def leaves_out_zero(found: SeedFigure) -> bool:
    """Whether the interval lies on one side of 0."""
    return found["low"] > 0 or found["high"] < 0
