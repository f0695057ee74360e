"""What the readers of multiple-choice questions share: checked choices, their order, and a slice that is held out."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cogrl.data.choice_order import shuffled_choices
from cogrl.data.corpora.corpus import Reading, with_audio
from cogrl.data.json_text import checked_json
from cogrl.data.text_file import utf8_lines
from cogrl.types import Example

_SHOWN = 20


class Rejected:
    """Rows that can not be used: refused with the message about the first, or, with `partial`, counted and named.

    The first twenty stand on the card.
    """

    def __init__(self, reading: Reading, partial: bool) -> None:
        self.reading, self.partial, self.count = reading, partial, 0

    def __call__(self, reason: str, message: str) -> None:
        """Raises ValueError with the message unless `partial`."""
        if not self.partial:
            raise ValueError(f"{message}; --partial leaves it out")
        self.reading.dropped[reason] += 1
        self.count += 1
        if self.count <= _SHOWN:
            self.reading.notes.append(f"left out: {message}")


class Unusable(ValueError):
    """A row that can not be used; `reason` is what it is counted under."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def rows(paths: Iterable[Path], keys: Sequence[str], rejected: Rejected) -> Iterator[tuple[str, dict[str, Any]]]:
    """(`file:line (id)`, record) of every JSON line that is an object with these keys."""
    for path in paths:
        for where, line in utf8_lines(path):
            try:
                record = checked_json(line, where)
            except ValueError as error:
                rejected("row is no sound JSON", str(error))
                continue
            if not isinstance(record, dict):
                rejected("row is no object", f"{where}: a row must be a JSON object, got {type(record).__name__}")
                continue
            name, missing = f"{where} ({record.get('id', 'no id')})", [key for key in keys if key not in record]
            if missing:
                rejected(f"row without {', '.join(missing)}", f"{name}: has no {', '.join(missing)}; keys: {[*record]}")
            else:
                yield name, record


def choices_of(given: Any, name: str) -> tuple[str, ...]:
    """Two or more texts of which no two read alike. Raises ValueError, `name: reason`."""
    if not isinstance(given, list) or not all(isinstance(choice, str) and choice.strip() for choice in given):
        raise ValueError(f"{name}: choices must be a list of texts, got {given!r}")
    choices = tuple(choice.strip() for choice in given)
    if len(choices) < 2 or len({choice.casefold() for choice in choices}) < len(choices):
        raise ValueError(f"{name}: choices must be two or more that read differently, got {given!r}")
    return choices


def found_questions(
    records: Iterable[tuple[str, dict[str, Any]]],
    question: Callable[[dict[str, Any], str], Example],
    rejected: Rejected,
) -> Iterator[Example]:
    """The example of each record; those that raise ValueError, or whose id comes a second time, are rejected."""
    seen: dict[str, str] = {}
    for name, record in records:
        try:
            example = question(record, name)
            if example.id in seen:
                raise ValueError(f"{name}: id {example.id!r} comes twice, first at {seen[example.id]}")
        except Unusable as error:
            rejected(error.reason, str(error))
            continue
        except ValueError as error:
            rejected("row with a question that can not be asked", str(error))
            continue
        seen[example.id] = name
        yield example


def split_questions(
    reading: Reading,
    found: Iterable[Example],
    root: Path,
    held_out: float,
    seed: int,
    keep_order: bool,
    partial: bool,
) -> Reading:
    """Fills `train` and `val`: a share `held_out` of the audio files, drawn by `seed` and their paths below `root`.

    All questions about a file are in one split. The choices of each question come in an order drawn by `seed` and its
    id, unless `keep_order`. Raises ValueError for clips that can not be read, unless `partial`.
    """
    for example in with_audio(found, reading.source, partial, reading.dropped):
        path = example.audio.relative_to(root) if example.audio.is_relative_to(root) else example.audio
        split = "val" if random.Random(f"{seed}/{path.as_posix()}").random() < held_out else "train"
        asked = example if keep_order else shuffled_choices(example, random.Random(f"{seed}/{example.id}"))
        reading.splits[split].append(replace(asked, split=split))
    order = "as in the file" if keep_order else f"shuffled with seed {seed}"
    reading.notes.append(
        f"choices: {order}; val: {held_out:g} of the audio files, seed {seed}; no file is in two splits"
    )
    return reading


def check_share(held_out: float) -> None:
    """Raises ValueError for a share that leaves nothing to train on."""
    if not 0 <= held_out < 1:
        raise ValueError(f"--held-out {held_out:g} must be at least 0 and less than 1: a share of the audio files")
