"""JSON from other tools: what `json` would accept, or change, without an error."""

import json
import math
from collections.abc import Iterator
from typing import Any

from cogrl.data.text_file import printable, suspect


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError for a broken one, a key that comes twice, and deep nesting."""
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("not JSON that can be read: nested too deeply") from error


def with_damage(text: str) -> tuple[Any, str | None]:
    """`parse_json` of a text, and the `damage` in it.

    Damage is looked for only where the text can hold any: a character that is not printable or an escape that may
    stand for one, a number that is not finite. Raises what `parse_json` raises.
    """
    if text.isprintable() and not ("\\" in text and any(escape in text for escape in _ESCAPES)):
        try:
            return _FINITE.decode(text), None
        except (ValueError, RecursionError):
            pass  # found below, in the words of `parse_json` and `damage`
    value = parse_json(text)
    return value, damage(value)


def checked_json(text: str, where: str) -> Any:
    """`parse_json` of a text without any `damage`. Raises ValueError, `where: reason`."""
    try:
        value, reason = with_damage(text)
    except ValueError as error:
        raise ValueError(f"{where}: {error}; mend this record, or get the file again") from error
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


def _finite_number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _finite_integer(text: str) -> int:
    _finite_number(text)
    return int(text)


_DECODER = json.JSONDecoder(object_pairs_hook=_once)
_FINITE = json.JSONDecoder(
    object_pairs_hook=_once, parse_float=_finite_number, parse_int=_finite_integer, parse_constant=_finite_number
)
_ESCAPES = (r"\u", r"\b", r"\f")
"""Those of JSON's escapes that stand for a character which may be `suspect`."""
