"""Overlays: a few lines of YAML that change an existing pipeline."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cogrl.cli.nearest import nearest
from cogrl.cli.yaml_file import read_yaml
from cogrl.data.text_file import utf8_text

FIT_KEYS = ("config", "overrides")


def overlaid(base: DictConfig, file: Path, keys: Iterable[str]) -> DictConfig:
    """The values of a pipeline, `${…}` not filled in yet, with those of an overlay file laid over them.

    Mappings are merged, all else is replaced, lists too; a dotted key such as `model.objective.tau_pos` is one key.
    `steps` maps the name of a step to its changes (`{}`: as it is). Only the steps it names are left, in the order of
    the base; without `steps` all are. `keys` are those a pipeline knows. Vars must exist in the base; the overrides of
    a fit may be new, they are checked by `cogrl fit`.

    Raises FileNotFoundError, or ValueError naming the file, the key and the nearest valid one.
    """
    changes = read_mapping(file, "overlay")
    check(changes, keys, "", file)
    check(changes.get("vars", {}), base.get("vars", {}), "vars.", file)
    merged = OmegaConf.merge(base, {key: value for key, value in changes.items() if key != "steps"})
    if "steps" in changes:
        named = changes_of_steps(changes["steps"], base, file)
        merged.steps = [OmegaConf.merge(step, named[step.name]) for step in base.steps if step.name in named]
    return merged


def read_mapping(file: Path, kind: str) -> dict[str, Any]:
    """The keys and values of a file, `${…}` not filled in. Raises FileNotFoundError, or ValueError naming the file."""
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such {kind} file")
    read_yaml(file, may_be_empty=kind == "overlay")
    try:
        return OmegaConf.to_container(OmegaConf.create(utf8_text(file)))
    except (yaml.YAMLError, OSError, OmegaConfBaseException) as error:
        raise ValueError(f"{file}: can not be read: {error}") from error


def changes_of_steps(values: Any, base: DictConfig, file: Path) -> dict[str, dict[str, Any]]:
    """What an overlay's `steps` says, checked against the steps of the base."""
    if not isinstance(values, Mapping) or not values:
        raise ValueError(
            f"{file}: `steps` of an overlay maps names of steps to their changes, such as `report: {{}}`, got "
            f"{values!r}; leave it out to run every step"
        )
    steps = {step.name: step for step in base.steps}
    check(values, steps, "steps.", file)
    named = {name: {} if change is None else change for name, change in values.items()}
    for name, change in named.items():
        check_step(change, steps[name], f"steps.{name}", file)
    return named


def check_step(change: Any, step: DictConfig, where: str, file: Path) -> None:
    check(change, [key for key in step if key != "name"], f"{where}.", file)
    if "fit" in change:
        check(change["fit"], FIT_KEYS, f"{where}.fit.", file)
        check(change["fit"].get("overrides", {}), None, f"{where}.fit.overrides.", file)


def check(values: Any, known: Iterable[str] | None, where: str, file: Path) -> None:
    """Refuse what is no mapping, and a key that is not among `known` (None: any may be new)."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{file}: {where.rstrip('.')} holds keys and values, got {values!r}")
    for key in values:
        if known is not None and key not in known:
            raise ValueError(f"{file}: unknown key {f'{where}{key}'!r}; {nearest(str(key), known)}")
