"""One line of a manifest: JSON -> `Example` with every field checked, and back."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cogrl.data.json_text import with_damage
from cogrl.data.line_schema import check_line
from cogrl.data.markup import escape_markup, unescape_markup
from cogrl.data.text_file import printable
from cogrl.types import Event, Example, Span, SpokenReply, SpokenTurn, Turn

_NUMBERS = ("valence", "arousal", "dominance", "duration_s", "snr_db")
_TEXTS = ("text", "reply", "question", "answer", "cause", "environment")
"""Fields a student or a teacher may read: markup in them, in targets and in choices is escaped."""


def parse_line(line: bytes, where: str, root: Path) -> Example:
    """The example, every field checked; audio paths are relative to `root`. Raises what `checked_record` raises."""
    return _example(checked_record(line, where), where, root)


def checked_record(line: bytes, where: str) -> dict[str, Any]:
    """What stands in the line, as it stands there, with every field checked.

    Raises ValueError, `where (id): what is wrong`, without the id where the line does not give one.
    """
    name = where
    try:
        record, reason = _record(line)
        if isinstance(record.get("id"), str):
            name = f"{where} ({printable(record['id'])})"
        if reason:
            raise ValueError(f"{reason}; mend this line")
        check_line(record)
        return record
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def parse_checked_line(line: bytes, where: str, root: Path) -> Example:
    """`parse_line` of a line that it has parsed before, at a third of the cost: nothing is checked."""
    return _example(json.loads(line.decode("utf-8-sig")), where, root)


def _record(line: bytes) -> tuple[dict[str, Any], str | None]:
    try:
        record, reason = with_damage(line.decode("utf-8-sig"))  # files with a byte-order mark may have been joined
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error}") from error
    if not isinstance(record, dict):
        raise ValueError(f"a line must be a JSON object, got {type(record).__name__}")
    return record, reason


def _example(record: dict[str, Any], where: str, root: Path) -> Example:
    parts: dict[str, Any] = {name: tuple(map(make, record[name])) for name, make in _PARTS.items() if name in record}
    if "turns" in record:
        parts["turns"] = tuple(Turn(**_typed(turn, root)) for turn in record["turns"])
    if "spoken_reply" in record:
        parts["spoken_reply"] = _spoken_reply(record["spoken_reply"], root)
    if "targets" in record:
        parts["targets"] = {name: escape_markup(text) for name, text in record["targets"].items()}
    return Example(**{**_typed(record, root), **parts, "where": where})


def _spoken_reply(reply: Mapping[str, Any], root: Path) -> SpokenReply:
    units = tuple(map(tuple, reply.get("units", ())))
    return SpokenReply(
        **{**reply, "audio": root / reply["audio"], "text": escape_markup(reply["text"]), "units": units}
    )


def _spoken(turn: Mapping[str, Any]) -> SpokenTurn:
    return SpokenTurn(turn["speaker"], float(turn["start_s"]), float(turn["end_s"]), escape_markup(turn["text"]))


def _span(span: Mapping[str, Any]) -> Span:
    return Span(float(span["start_s"]), float(span["end_s"]))


def _event(event: Mapping[str, Any]) -> Event:
    return Event(float(event["start_s"]), float(event["end_s"]), event["name"])


_PARTS: dict[str, Callable[[Any], Any]] = {
    "speech": _spoken,
    "events": _event,
    "evidence": _span,
    "choices": escape_markup,
}
"""The keys that hold a list: what is made of each of its items."""


def line_of(example: Example, folder: Path) -> str:
    """The JSON of an example, without empty fields, audio paths relative to `folder`; `parse_line` reads it back."""
    record = _plain(asdict(example), folder)
    del record["where"]
    if example.turns:
        record["turns"] = [_plain(turn, folder) for turn in record["turns"]]
    if example.spoken_reply:
        record["spoken_reply"] = _plain(record["spoken_reply"], folder)
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def _plain(record: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    kept = {key: value for key, value in record.items() if key == "where" or value not in (None, "", {}, ())}
    audio = record["audio"]
    kept["audio"] = None if audio is None else Path(os.path.relpath(audio, folder)).as_posix()
    kept |= {key: unescape_markup(kept[key]) for key in _TEXTS if key in kept}
    if "speech" in kept:
        kept["speech"] = [turn | {"text": unescape_markup(turn["text"])} for turn in kept["speech"]]
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
