"""Nulls given on the command line."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException


def with_nulls(args: Sequence[str]) -> list[str]:
    """The arguments with `--model.policy.lora=null` as `--model={"policy": {"lora": null}}`, which merges the same way.

    jsonargparse writes a value for a class inside a class into a command line of its own, where a null becomes the text
    None: a key that may be null refuses it, and one that takes text (`policy.path`) takes it silently. The same goes
    for a null inside the value, as in `--model.reward.client={"cache": null}`.
    """
    found, rest = [], list(args)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        deep = name.startswith("--model.") and name.count(".") > 1
        apart = deep and not equals and bool(rest)
        nested = read(rest[0] if apart else value) if deep else ""
        if holds_null(nested):
            del rest[: int(apart)]
            for part in reversed(name.removeprefix("--model.").split(".")):
                nested = {part: nested}
            found.append(f"--model={json.dumps(nested)}")
        else:
            found.append(name + equals + value)
    return found


def read(value: str) -> Any:
    """A null, mapping or list as YAML reads it there; everything else as the text it is."""
    if value in ("null", "Null", "NULL", "~"):
        return None
    if not value.startswith(("{", "[")):
        return value
    try:
        return OmegaConf.to_container(OmegaConf.create(value))
    except (yaml.YAMLError, OmegaConfBaseException):
        return value  # the parser says what is wrong with it


def holds_null(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(holds_null, value.values()))
    return any(map(holds_null, value)) if isinstance(value, list) else value is None
