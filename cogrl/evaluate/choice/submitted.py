"""What is submitted to a benchmark: the prediction of each question, and the file that its official script reads."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cogrl.evaluate.choice.answers import ChoiceAnswers
from cogrl.evaluate.choice.official import OfficialList
from cogrl.formats.chosen import LETTERS, after_thought

_ODD = re.compile(r"[^\w.-]")


def predictions(official: OfficialList, answers: ChoiceAnswers) -> list[str]:
    """What is submitted for each question: the text (or letter) of the choice that the strict parser finds.

    Where it finds none it is the answer as it was given, without its thought: no option is put in its place.
    """
    found = []
    for example, text, choice in zip(answers.examples, answers.texts, answers.chosen, strict=True):
        place = None if choice is None else example.choices.index(choice)
        if place is None:
            found.append(after_thought(text))
        else:
            found.append(LETTERS[place] if official.benchmark.by_letter else official.items[example.id].choices[place])
    return found


def prediction_path(official: OfficialList, out: Path, name: str) -> Path:
    """`predictions_<policy>.json`, or `.jsonl`; other signs than letters, digits, `.`, `-` and `_` become `-`."""
    suffix = "jsonl" if official.as_lines else "json"
    return out / f"predictions_{_ODD.sub('-', name)}.{suffix}"


def refuse_same_files(official: OfficialList, out: Path, names: Sequence[str]) -> None:
    """Raises ValueError for two policies whose predictions would go into one file."""
    paths = [prediction_path(official, out, name) for name in names]
    for name, path in zip(names, paths, strict=True):
        if paths.count(path) > 1:
            raise ValueError(f"two policies would write {path}; give {name!r} a name of its own: --policy NAME=DIR")


def write_predictions(official: OfficialList, answers: ChoiceAnswers, out: Path) -> Path:
    """The official rows that were asked, in order and with every field, and the prediction under the official keys."""
    found = list(_submitted(official, answers))
    path = prediction_path(official, out, answers.name)
    text = "".join(json.dumps(row) + "\n" for row in found) if official.as_lines else json.dumps(found, indent=1) + "\n"
    path.write_text(text, encoding="utf-8")
    return path


def _submitted(official: OfficialList, answers: ChoiceAnswers) -> Iterator[dict[str, Any]]:
    benchmark = official.benchmark
    for example, text, given in zip(answers.examples, answers.texts, predictions(official, answers), strict=True):
        row = {**official.records[example.id], **dict.fromkeys(benchmark.keys, given)}
        if benchmark.thought_key:
            row[benchmark.thought_key] = text[: text.rfind(after_thought(text))].strip()
        yield row
