"""Nulls given on the command line."""

import json
from collections.abc import Sequence


def with_nulls(args: Sequence[str]) -> list[str]:
    """The arguments with `--model.policy.lora=null` as `--model={"policy": {"lora": null}}`, which merges the same way.

    jsonargparse writes a value for a class inside a class into a command line of its own, where a null becomes the text
    None: a key that may be null refuses it, and one that takes text (`policy.path`) takes it silently.
    """
    found, rest = [], list(args)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        deep = name.startswith("--model.") and name.count(".") > 1
        apart = deep and not equals and bool(rest) and is_null(rest[0])
        if deep and (apart or (equals and is_null(value))):
            del rest[: int(apart)]
            key, nested = name.removeprefix("--model."), None
            for part in reversed(key.split(".")):
                nested = {part: nested}
            found.append(f"--model={json.dumps(nested)}")
        else:
            found.append(name + equals + value)
    return found


def is_null(value: str) -> bool:
    """Whether YAML reads a null there."""
    return value in ("null", "Null", "NULL", "~")
