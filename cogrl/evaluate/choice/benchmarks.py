"""How each public benchmark scores predictions, and the keys under which its scripts look for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cogrl.data.corpora import mmar, mmau, mmsu
from cogrl.data.corpora.benchmark import ReadItem
from cogrl.evaluate.choice.letter_match import letter_match
from cogrl.evaluate.choice.string_match import string_match

Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Benchmark:
    """A benchmark's official side.

    `score(records, predictions)` is its rule, for rows in the order of the file: right or wrong, None for a row that
    the official script leaves out of its total. `keys` are what its scripts, old and new, call a prediction, and
    `thought_key` what came before it. `groups` are the fields of a row that results are split by. A prediction is a
    letter where `by_letter`, else a text. The predictions are JSON lines where `as_lines`, an array where it is False;
    None: as the official list is.
    """

    name: str
    item: ReadItem
    score: Callable[[Records, Sequence[str]], list[bool | None]]
    keys: tuple[str, ...]
    groups: tuple[str, ...]
    by_letter: bool = False
    as_lines: bool | None = None
    thought_key: str | None = None


def by_words(records: Records, predictions: Sequence[str]) -> list[bool | None]:
    """MMAU's and MMAR's rule."""
    rows = zip(records, predictions, strict=True)
    return [string_match(record["answer"], prediction, record["choices"]) for record, prediction in rows]


def by_first_letter(records: Records, predictions: Sequence[str]) -> list[bool | None]:
    """MMSU's rule: the choice of the letter that `letter_match` finds is, as a text, the answer."""
    rows = zip(records, letter_match(predictions), strict=True)
    return [None if letter is None else _choice(record, letter) == record["answer_gt"] for record, letter in rows]


def _choice(record: Mapping[str, Any], letter: str) -> str | None:
    return record.get(mmsu.CHOICES[letter]) if letter else None


BENCHMARKS: Mapping[str, Benchmark] = {
    "mmau": Benchmark(
        "MMAU",
        mmau.item,
        by_words,
        keys=("model_output", "model_prediction"),
        groups=("task", "difficulty", "category", "sub-category"),
        as_lines=False,
    ),
    "mmar": Benchmark(
        "MMAR",
        mmar.item,
        by_words,
        keys=("answer_prediction", "model_prediction"),
        groups=("modality", "category", "sub-category", "language"),
        thought_key="thinking_prediction",
    ),
    "mmsu": Benchmark(
        "MMSU",
        mmsu.item,
        by_first_letter,
        keys=("response",),
        groups=("category", "sub-category", "sub-sub-category", "task_name"),
        by_letter=True,
        as_lines=True,
    ),
}
