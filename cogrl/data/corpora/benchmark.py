"""Multiple-choice benchmarks as their authors publish them: a list of rows, each with a clip, a question and choices.

A benchmark says how one of its rows becomes an `Item`; the list, its audio and everything that can be wrong with them
are read here. Rows that can not be asked are never passed over: each is named with its reason.
"""

import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from cogrl.data.corpora.corpus import Reading, Source, with_audio, within
from cogrl.data.corpora.dialogues import located
from cogrl.data.corpora.layout import files
from cogrl.data.errors import raise_all
from cogrl.data.json_text import damage, parse_json
from cogrl.data.text_file import printable, utf8_lines, utf8_text
from cogrl.types import Example

LETTERED = re.compile(r"\s*\(?([A-Z])[).:、．：]\s*(?=\S)")
"""The letter in front of a choice or an answer: `(A) `, `A. `, `A: `."""
_MOST_NOTES = 20
_AUDIO_FOLDERS = ("", "audio", "audios", "..", "../audio", "../audios")
"""Where clips lie, seen from the list."""


@dataclass(frozen=True)
class Item:
    """One question of an official list: `choices` in the order of their letters, `audio` as the row names it.

    `answer` is the text of the right choice, None where the benchmark withholds it.
    """

    id: str
    audio: str
    question: str
    choices: tuple[str, ...]
    answer: str | None
    task: str | None = None
    split: str = "test"


ReadItem = Callable[[Mapping[str, Any]], Item]
"""The item of a row. Raises ValueError that says what is wrong with the row."""


def read_benchmark(
    raw: Path, source: Source, stem: str, expected: str, splits: Sequence[str], read_item: ReadItem, partial: bool
) -> Reading:
    """The rows of every list below `raw` whose name starts with `stem` (in any case), by split.

    Of a list that is there as .json and as .jsonl, the .jsonl is read. The id of an example is the row's own, so that
    answers can be joined with the official list again. Raises FileNotFoundError when there is no list, and one
    ValueError with every row that can not be asked, each as `file:line (id): reason`, or with every clip that can not
    be read; with `partial` these are left out, counted, and named in the card.
    """
    root = within(raw, f"**/{stem}*.json*", source, expected)
    reading = Reading(source, {split: [] for split in splits}, ("text_group",), root=root, layout=expected)
    found = [path for path in files(root, ".json", ".jsonl", below=True) if path.name.lower().startswith(stem.lower())]
    refused: list[str] = []
    examples, first = [], {}
    for path in {path.with_suffix(""): path for path in found}.values():
        reading.notes.append(f"{path.name}: sha256 {sha256(path.read_bytes()).hexdigest()[:16]}")
        for where, record in rows(path, refused.append):
            try:
                item = checked_item(record, read_item, splits)
                if item.id in first:
                    raise ValueError(f"this id comes twice, first at {first[item.id]}")
            except ValueError as error:
                refused.append(f"{where} ({_name(record)}): {error}")
                continue
            first[item.id] = where
            examples.append(_example(item, path, source))
    _leave_out(refused, f"{source.name}: {len(refused)} rows can not be asked", "row is broken", partial, reading)
    kept = with_audio(examples, source, partial, reading.dropped)
    there = {example.id for example in kept}
    lost = [f"{example.id}: no usable audio at {example.audio}" for example in examples if example.id not in there]
    reading.notes += _shortened(lost)
    for example in kept:
        reading.splits[example.split].append(example)
    return reading


def rows(path: Path, refuse: Callable[[str], None]) -> Iterator[tuple[str, Any]]:
    """(`file:line` or `file[place]`, value) of JSON lines or of a JSON array, whatever the file is called.

    A line that is no JSON goes to `refuse`. Raises ValueError for an array that is broken as a whole, and for a file
    that is not UTF-8.
    """
    if is_array(path):
        try:
            values = parse_json(utf8_text(path))
        except ValueError as error:
            raise ValueError(f"{path}: {error}; get the file again") from error
        yield from ((f"{path}[{place}]", value) for place, value in enumerate(values))
        return
    for where, line in utf8_lines(path):
        try:
            value = parse_json(line)
        except ValueError as error:
            refuse(f"{where}: {error}")
        else:
            yield where, value


def is_array(path: Path) -> bool:
    """Whether a list is one JSON array and not JSON lines."""
    return utf8_text(path).lstrip().startswith("[")


def checked_item(record: Any, read_item: ReadItem, splits: Sequence[str] = ()) -> Item:
    """The item of a row that can be asked and, where the answer is published, scored. Raises ValueError otherwise."""
    if not isinstance(record, dict):
        raise ValueError(f"a row must be a JSON object, got {str(record)[:80]!r}")
    reason = damage(record)
    if reason:
        raise ValueError(reason)
    item = read_item(record)
    if len(set(item.choices)) < len(item.choices) or len(item.choices) < 2:
        raise ValueError(f"needs two or more different choices, got {list(item.choices)!r}")
    if item.answer is not None and item.answer not in item.choices:
        raise ValueError(f"answer {item.answer!r} is none of the choices {list(item.choices)!r}")
    if splits and item.split not in splits:
        raise ValueError(f"split {item.split!r} is none of {', '.join(splits)}")
    return item


def needed(record: Mapping[str, Any], *keys: str) -> str:
    """The text under the first of `keys` that the row has, stripped. Raises ValueError naming the keys it does have."""
    value = next((record[key] for key in keys if record.get(key) not in (None, "")), None)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"needs {' or '.join(keys)} as text, got {value!r}; its keys: {', '.join(record)}")
    return value.strip()


def texts(choices: Any) -> tuple[str, ...]:
    """The choices of a row, stripped. Raises ValueError where they are no list of texts."""
    if not isinstance(choices, list) or not all(isinstance(text, str) and text.strip() for text in choices):
        raise ValueError(f"choices must be a list of texts, got {choices!r}")
    return tuple(text.strip() for text in choices)


def named_choice(answer: Any, choices: Sequence[str]) -> str | None:
    """The choice that an official answer is, whatever its case and outer spaces; None for a withheld (empty) one.

    "(B) C major" is the second choice where that is "C major": some rows of MMAU give the letter in the answer alone.
    An answer that is none of the choices, or has another one's letter, is returned as it is; `checked_item` refuses it.
    """
    if answer in (None, ""):
        return None
    if not isinstance(answer, str):
        raise ValueError(f"the answer must be the text of a choice, got {answer!r}")
    key = answer.strip()
    if key in choices:
        return key
    alike = [choice for choice in choices if choice.casefold() == key.casefold()]
    lettered = LETTERED.match(key)
    if lettered:
        alike += [c for c in choices[string.ascii_uppercase.index(lettered[1]) :][:1] if c == key[lettered.end() :]]
    return alike[0] if len(alike) == 1 else key


def _example(item: Item, path: Path, source: Source) -> Example:
    folders = [path.parent / name for name in _AUDIO_FOLDERS]
    audio = located(item.audio, f"{item.id}.wav", folders)
    return Example(
        id=item.id,
        audio=audio.resolve(),
        split=item.split,
        text=item.question,
        text_group=Path(item.audio).stem,
        speaker=Path(item.audio).stem,
        emotion=None,
        question=item.question,
        choices=item.choices,
        answer=item.answer,
        task=item.task,
        source=f"{source.name} {source.url}",
        licence=source.licence,
    )


def _leave_out(refused: Sequence[str], title: str, reason: str, partial: bool, reading: Reading) -> None:
    if refused and not partial:
        raise_all([f"{title}; --partial leaves them out", *refused])
    if refused:
        reading.dropped[reason] += len(refused)
        reading.notes += _shortened(refused)


def _shortened(messages: Sequence[str]) -> list[str]:
    more = [f"... and {len(messages) - _MOST_NOTES} more"] if len(messages) > _MOST_NOTES else []
    return [printable(message) for message in messages[:_MOST_NOTES]] + more


def _name(record: Any) -> str:
    return printable(str(record.get("id", "no id"))) if isinstance(record, dict) else "no id"
