"""One line of a manifest: JSON -> `Example` with every field checked, and back."""

import difflib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from cogrl.data.json_text import damage, parse_json
from cogrl.data.markup import escape_markup, unescape_markup
from cogrl.data.text_file import printable
from cogrl.formats import FORMATS, format_named
from cogrl.types import EMOTIONS, INTENSITIES, SENTIMENTS, Example, Turn

_KEYS = tuple(field.name for field in fields(Example) if field.name != "where")
_REQUIRED = ("id", "audio", "split", "text", "text_group", "speaker", "emotion")
_TURN_KEYS = tuple(field.name for field in fields(Turn))
_TURN_REQUIRED = ("text", "audio")
_STRINGS = (*_REQUIRED, "intensity", "scenario", "text_sentiment", "source", "licence")
_STRINGS += ("question", "answer", "task", "language", "reply", "cause")
_NUMBERS = ("valence", "arousal", "dominance", "duration_s")
_CHOICES = {"emotion": EMOTIONS, "intensity": INTENSITIES, "text_sentiment": SENTIMENTS}
_TEXTS = ("text", "reply", "question", "answer", "cause")
"""Fields a student or a teacher may read: markup in them, in targets and in choices is escaped."""
_ROUTES = {"A": "eips (or ieat, where it opens with <think>)", "B": "direct"}
"""What targets were keyed by before they were keyed by format, and what to name them now."""


def parse_line(line: bytes, where: str, root: Path) -> Example:
    """The example; audio paths are relative to `root`.

    Raises ValueError, `where (id): what is wrong`, without the id where the line does not give one.
    """
    name = where
    try:
        record = _record(line)
        if isinstance(record.get("id"), str):
            name = f"{where} ({printable(record['id'])})"
        return _example(record, where, root)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _record(line: bytes) -> dict[str, Any]:
    try:
        record = parse_json(line.decode("utf-8-sig"))  # files with a byte-order mark may have been joined
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error}") from error
    if not isinstance(record, dict):
        raise ValueError(f"a line must be a JSON object, got {type(record).__name__}")
    return record


def _example(record: dict[str, Any], where: str, root: Path) -> Example:
    of_benchmark = bool(record.get("turns") or record.get("question"))
    required = tuple(key for key in _REQUIRED if not (of_benchmark and key == "emotion"))
    _check_keys(record, _KEYS, required)
    _check_values(record, required)
    reason = damage(record)
    if reason:
        raise ValueError(f"{reason}; mend this line")
    _check_targets(record)
    _check_question(record)
    turns = tuple(_turn(turn, number, root) for number, turn in enumerate(record.get("turns", []), start=1))
    targets = {format: escape_markup(text) for format, text in record.get("targets", {}).items()}
    choices = tuple(escape_markup(text) for text in record.get("choices", []))
    parsed = {"emotion": None} | _typed(record, root)
    return Example(**{**parsed, "turns": turns, "targets": targets, "choices": choices, "where": where})


def line_of(example: Example, folder: Path) -> str:
    """The JSON of an example, without empty fields, audio paths relative to `folder`; `parse_line` reads it back."""
    record = _plain(asdict(example), folder)
    del record["where"]
    if example.turns:
        record["turns"] = [_plain(turn, folder) for turn in record["turns"]]
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def _plain(record: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    kept = {key: value for key, value in record.items() if key == "where" or value not in (None, "", {}, ())}
    audio = record["audio"]
    kept["audio"] = None if audio is None else Path(os.path.relpath(audio, folder)).as_posix()
    kept |= {key: unescape_markup(kept[key]) for key in _TEXTS if key in kept}
    if "targets" in kept:
        kept["targets"] = {format: unescape_markup(text) for format, text in kept["targets"].items()}
    if "choices" in kept:
        kept["choices"] = [unescape_markup(text) for text in kept["choices"]]
    return kept


def _typed(record: Mapping[str, Any], root: Path) -> dict[str, Any]:
    numbers = {key: float(record[key]) for key in _NUMBERS if key in record}
    texts = {key: escape_markup(record[key]) for key in _TEXTS if key in record}
    audio = None if record["audio"] is None else root / record["audio"]
    return {**record, **numbers, **texts, "audio": audio}


def _turn(record: Any, number: int, root: Path) -> Turn:
    try:
        if not isinstance(record, dict):
            raise ValueError(f"must be an object, got {record!r}")
        _check_keys(record, _TURN_KEYS, _TURN_REQUIRED)
        given = tuple(key for key in _TURN_REQUIRED if record[key] is not None or key != "audio")  # null: it was typed
        _check_values({key: value for key, value in record.items() if key in given or key not in _TURN_REQUIRED}, given)
    except ValueError as error:
        raise ValueError(f"turn {number}: {error}") from error
    return Turn(**_typed(record, root))


def _check_keys(record: Mapping[str, Any], known: Sequence[str], required: Sequence[str]) -> None:
    for key in record:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"
            raise ValueError(f"unknown key {key!r}; {hint}")
    missing = [key for key in required if key not in record]
    if missing:
        raise ValueError(f"missing key {', '.join(map(repr, missing))}")


def _check_values(record: Mapping[str, Any], required: Sequence[str]) -> None:
    for key in _STRINGS:
        value = record.get(key)
        if key in record and not isinstance(value, str):
            raise ValueError(f"{key} must be a string, got {value!r}")
        if key in required and not value.strip():
            raise ValueError(f"{key} is empty")
    for key, allowed in _CHOICES.items():
        if key in record and record[key] not in allowed:
            raise ValueError(f"unknown {key} {record[key]!r}; allowed: {', '.join(allowed)}")
    for key in _NUMBERS:
        value = record.get(key, 0.0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{key} must be a number, got {value!r}")
        if key == "duration_s":
            if key in record and not 0 < value < float("inf"):
                raise ValueError(f"duration_s must be positive, got {value!r}")
        elif not -1 <= value <= 1:
            raise ValueError(f"{key} must lie in [-1, 1], got {value!r}")


def _check_targets(record: Mapping[str, Any]) -> None:
    for key in ("targets", "synthesis"):
        if not isinstance(record.get(key, {}), dict):
            raise ValueError(f"{key} must be an object, got {record[key]!r}")
    for format, target in record.get("targets", {}).items():
        if format in _ROUTES:
            raise ValueError(
                f"targets.{format} is of an older cogrl; targets are named by format: rename {format} to "
                f"{_ROUTES[format]}"
            )
        if format not in FORMATS and "." not in format:
            format_named(format)  # raises; an own format's import path is looked up by who trains it
        if not isinstance(target, str) or not target.strip():
            raise ValueError(f"target {format!r} must be non-empty text, got {target!r}")


def _check_question(record: Mapping[str, Any]) -> None:
    for key in ("turns", "choices"):
        if not isinstance(record.get(key, []), list):
            raise ValueError(f"{key} must be a list, got {record[key]!r}")
    choices = record.get("choices", [])
    if not all(isinstance(choice, str) and choice.strip() for choice in choices):
        raise ValueError(f"choices must be non-empty strings, got {choices!r}")
    if choices and (len(choices) < 2 or len(set(choices)) < len(choices)):
        raise ValueError(f"choices must be two or more different texts, got {choices!r}")
    if ("choices" in record or "answer" in record) and not str(record.get("question", "")).strip():
        raise ValueError("choices and answer need a question")
    if choices and "answer" in record and record["answer"] not in choices:
        raise ValueError(f"answer {record['answer']!r} is none of the choices: {', '.join(map(repr, choices))}")
