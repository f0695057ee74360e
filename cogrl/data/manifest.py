"""Manifests: JSON lines <-> `Example`, and the checks that run before anything is trained."""

import difflib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from cogrl.audio import load_audio
from cogrl.types import EMOTIONS, INTENSITIES, ROUTES, SENTIMENTS, Example

_KEYS = tuple(field.name for field in fields(Example) if field.name != "where")
_REQUIRED = ("id", "audio", "split", "text", "text_group", "speaker", "emotion")
_STRINGS = (*_REQUIRED, "intensity", "scenario", "text_sentiment", "source", "licence")
_NUMBERS = ("valence", "arousal", "dominance", "duration_s")
_CHOICES = {"emotion": EMOTIONS, "intensity": INTENSITIES, "text_sentiment": SENTIMENTS}
_MOST_ERRORS = 20
_MARKUP = re.compile(
    r"<(?=\|[^|<>]*\|>)|<(?=/?(?:audio|sound|speech|image|video)[a-z_]*>)|\[(?=/?[A-Z_]*AUDIO[A-Z_]*\])", re.I
)
_ESCAPED = re.compile(r"(?<=[<\[])\\(?=[|/a-z])", re.I)


def read_manifest(path: Path, audio_root: Path | None = None) -> list[Example]:
    """The examples of a JSONL file; audio paths are relative to `audio_root`, by default the manifest's own folder.

    Chat markup in `text` and `targets`, such as `<|AUDIO|>` or `<sound>`, is escaped (see `escape_markup`): no
    transcript can forge a control token. Raises FileNotFoundError for a missing file and one ValueError with all
    bad lines (at most 20), each as `file:line`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"manifest {path} is missing; make the embedded corpus with: cogrl build lime-mini --out {path.parent}"
        )
    examples, errors, seen = [], [], {}
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            example = _parse(line, where, audio_root or path.parent)
            if example.id in seen:
                raise ValueError(f"duplicate id {example.id!r}, first at {seen[example.id]}")
            seen[example.id] = where
            examples.append(example)
        except ValueError as error:
            errors.append(f"{where}: {error}")
    raise_all(errors)
    if not examples:
        raise ValueError(f"{path}: holds no examples; rebuild it with: cogrl build lime-mini --out {path.parent}")
    return examples


def write_manifest(path: Path, examples: Sequence[Example]) -> None:
    """One JSON line for each example, moved into place when complete; audio paths relative to the manifest's folder."""
    path = Path(path)
    lines = []
    for example in examples:
        record = {key: value for key, value in asdict(example).items() if key in _KEYS and value not in (None, "", {})}
        record["audio"] = Path(os.path.relpath(example.audio, path.parent)).as_posix()
        record["text"] = unescape_markup(example.text)
        if example.targets:
            record["targets"] = {route: unescape_markup(text) for route, text in example.targets.items()}
        lines.append(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_text("".join(lines), encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def escape_markup(text: str) -> str:
    r"""`<|AUDIO|>`, `<sound>`, `[AUDIO]` with a backslash after the bracket (`<\|AUDIO|>`): visible, but no token."""
    return _MARKUP.sub(lambda match: match.group() + "\\", text)


def unescape_markup(text: str) -> str:
    """The inverse of `escape_markup`."""
    plain = _ESCAPED.sub("", text)
    return plain if escape_markup(plain) == text else text


def check_splits(splits: Mapping[str, Sequence[Example]], disjoint: Sequence[str] = ("text_group", "speaker")) -> None:
    """Raises ValueError, naming both lines, where two splits share a value of a `disjoint` field or a clip."""
    errors = []
    for field in (*disjoint, "id", "audio"):
        first: dict[Any, tuple[str, Example]] = {}
        for split, examples in splits.items():
            reported = set()
            for example in examples:
                value = getattr(example, field)
                owner, earlier = first.setdefault(value, (split, example))
                if owner != split and value not in reported:
                    reported.add(value)
                    errors.append(
                        f"{example.where}: {field} {str(value)!r} of split {split!r} is also in split {owner!r} "
                        f"({earlier.where}); give each {field} to one split"
                    )
    raise_all(errors)


def check_audio_files(examples: Sequence[Example], sampling_rate: int = 16000, max_s: float | None = None) -> None:
    """Decodes every file once (hundreds a second) and raises one ValueError with each refusal of `load_audio`.

    A file that passed is not decoded again in this process while its size and time stamp stay the same.
    """
    errors = []
    for example in examples:
        name = f"{example.where} ({example.id})"
        try:
            key = (*_stamp(example.audio), example.duration_s, sampling_rate, max_s)
            if key not in _CHECKED:
                load_audio(example.audio, sampling_rate, max_s, example.duration_s, name)
                _CHECKED.add(key)
        except (ValueError, FileNotFoundError) as error:
            errors.append(str(error))
    raise_all(errors)


_CHECKED: set[tuple] = set()


def _stamp(path: Path) -> tuple:
    if not path.exists():
        return (path,)
    status = path.stat()
    return path, status.st_size, status.st_mtime_ns


def raise_all(errors: Sequence[str]) -> None:
    """One ValueError for all `errors` (the first 20 in full), nothing when there are none."""
    if errors:
        more = [f"... and {len(errors) - _MOST_ERRORS} more"] if len(errors) > _MOST_ERRORS else []
        raise ValueError("\n".join([*errors[:_MOST_ERRORS], *more]))


def _parse(line: bytes, where: str, root: Path) -> Example:
    """One line. Raises ValueError saying what is wrong with it."""
    try:
        record = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise ValueError(f"a line must be a JSON object, got {type(record).__name__}")
    _check_keys(record)
    _check_values(record)
    targets = {route: escape_markup(text) for route, text in record.get("targets", {}).items()}
    audio, text = root / record["audio"], escape_markup(record["text"])
    numbers = {key: float(record[key]) for key in _NUMBERS if key in record}
    return Example(**{**record, **numbers, "audio": audio, "text": text, "targets": targets, "where": where})


def _check_keys(record: dict) -> None:
    for key in record:
        if key not in _KEYS:
            close = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(_KEYS)}"
            raise ValueError(f"unknown key {key!r}; {hint}")
    missing = [key for key in _REQUIRED if key not in record]
    if missing:
        raise ValueError(f"missing key {', '.join(map(repr, missing))}")


def _check_values(record: dict) -> None:
    for key in _STRINGS:
        value = record.get(key)
        if key in record and not isinstance(value, str):
            raise ValueError(f"{key} must be a string, got {value!r}")
        if key in _REQUIRED and not value.strip():
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
    for key in ("targets", "synthesis"):
        if not isinstance(record.get(key, {}), dict):
            raise ValueError(f"{key} must be an object, got {record[key]!r}")
    for route, target in record.get("targets", {}).items():
        if route not in ROUTES:
            raise ValueError(f"unknown route {route!r} in targets; allowed: {', '.join(ROUTES)}")
        if not isinstance(target, str) or not target.strip():
            raise ValueError(f"target {route!r} must be non-empty text, got {target!r}")
