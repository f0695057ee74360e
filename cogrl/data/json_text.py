"""JSON from other tools: what `json` would accept, or change, without an error."""

import json
import math
from collections.abc import Iterator
from typing import Any

from cogrl.data.text_file import printable, suspect


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError for a broken one, a key that comes twice, and deep nesting."""
    try:
        return json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("not JSON that can be read: nested too deeply") from error


def checked_json(text: str, where: str) -> Any:
    """`parse_json` of a text without any `damage`. Raises ValueError, `where: reason`."""
    try:
        value = parse_json(text)
    except ValueError as error:
        raise ValueError(f"{where}: {error}; mend this record, or get the file again") from error
    reason = damage(value)
    if reason:
        raise ValueError(f"{where}: {reason}; mend this record")
    return value


def damage(value: Any) -> str | None:
    """The first string or number, at any depth, that no manifest can hold, with its key; None where there is none.

    See `suspect` for strings; a number must be finite, and fit into a float.
    """
    return next((f"{key or 'the value'} {reason}" for key, reason in _damages(value, "")), None)


def _damages(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            wrong = suspect(name)
            if wrong:
                yield f"key {printable(name)!r}", f"holds {wrong}"
            yield from _damages(item, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _damages(item, f"{key}[{number}]")
    elif isinstance(value, str):
        wrong = suspect(value)
        if wrong:
            yield key, f"holds {wrong}"
    elif isinstance(value, int | float) and not _finite(value):
        yield key, "is no finite number; JSON has neither NaN nor infinity"


def _finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {printable(twice)!r} comes twice; only one of the two values could be kept")
    return found
