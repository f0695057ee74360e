"""What a pipeline file says: steps, in order, each a `cogrl` command."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from cogrl.callbacks.mlflow_store import DEFAULT_STORE, absolute_uri
from cogrl.cli.fit.interpolation import filled_in
from cogrl.cli.nearest import nearest
from cogrl.cli.pipeline.overlay import FIT_KEYS, overlaid, read_mapping

PARENT_RUN = "{parent_run}"
"""Stands in a command for the id of the pipeline's MLflow run, which is known only when it runs."""
_PIPELINE_KEYS = ("name", "run_dir", "seed", "tracking_uri", "parent_run", "vars", "steps")
_STEP_KEYS = ("name", "command", "fit")


@dataclass(frozen=True)
class Step:
    """`args` is the command line of `cogrl`; `notes` holds log and mark; `folder` is the run folder of a fit."""

    name: str
    args: tuple[str, ...]
    notes: Path
    folder: Path | None
    mentioned: tuple[str, ...]

    @property
    def is_fit(self) -> bool:
        return self.folder is not None

    @property
    def out(self) -> Path | None:
        """What the step leaves: the policy of a fit, or the value of `--out`."""
        if self.folder is not None:
            return self.folder / "export"
        return Path(self.args[self.args.index("--out") + 1]) if "--out" in self.args[:-1] else None

    def inputs(self) -> list[Path]:
        """Existing paths among the words of the step, its own output left out; with a manifest, its `build.json`."""
        paths = [Path(word) for word in self.mentioned if word.strip(".") and os.path.exists(word)]
        paths += [path.with_name("build.json") for path in paths if path.suffix == ".jsonl"]
        own = [path for path in (self.out, self.folder) if path is not None]
        return [path for path in paths if not any(within(path, mine) or within(mine, path) for mine in own)]


@dataclass(frozen=True)
class Pipeline:
    name: str
    run_dir: Path
    tracking_uri: str
    steps: tuple[Step, ...]


def read_pipeline(file: Path, changes: Sequence[str] = (), overlays: Sequence[Path] = ()) -> Pipeline:
    """The pipeline in a YAML file, `overlays` and then `changes` (`key=value`, dotted keys) applied, `${…}` filled in.

    Besides the file's own keys, commands may use `${tracking_uri}` and `${parent_run}`, the MLflow run of the pipeline.

    Raises FileNotFoundError, or ValueError naming the file, the key and the nearest valid key.
    """
    config, where = OmegaConf.create(read_mapping(file, "pipeline")), " + ".join(map(str, (file, *overlays)))
    check_keys(config, _PIPELINE_KEYS, ("name", "run_dir", "steps"), str(file))
    for overlay in overlays:
        config = overlaid(config, overlay, _PIPELINE_KEYS)
    for change in changes:
        key, equals, _ = change.partition("=")
        if not equals or OmegaConf.select(config, key) is None:
            raise ValueError(f"--set {change}: {where} has no value at {key!r}")
        config = OmegaConf.merge(config, OmegaConf.from_dotlist([change]))
    known = {"parent_run": PARENT_RUN, "tracking_uri": absolute_uri(config.get("tracking_uri") or DEFAULT_STORE)}
    config = OmegaConf.merge(config, known)
    sources = [(str(file), read_mapping(file, "pipeline")), *((str(o), read_mapping(o, "overlay")) for o in overlays)]
    sources += [(f"--set {change}", OmegaConf.to_container(OmegaConf.from_dotlist([change]))) for change in changes]
    values = filled_in(config, sources)
    run_dir = Path(values["run_dir"])
    uri = values["tracking_uri"]
    shared = [f"--mlflow.tracking_uri={uri}"]
    if "seed" in values:
        shared.append(f"--seed_everything={values['seed']}")
    steps = tuple(read_step(step, run_dir, shared, where) for step in values["steps"])
    names = [step.name for step in steps]
    if len(set(names)) < len(names):
        raise ValueError(f"{where}: every step needs its own name, got {', '.join(names)}")
    return Pipeline(values["name"], run_dir, uri, steps)


def read_step(values: Mapping[str, Any], run_dir: Path, shared: Sequence[str], file: str) -> Step:
    where = f"{file}: step {values.get('name', '?')}"
    check_keys(values, _STEP_KEYS, ("name",), where)
    if ("command" in values) == ("fit" in values):
        raise ValueError(f"{where}: needs either `command` or `fit`")
    notes = run_dir / "steps" / values["name"]
    if "command" in values:
        if not isinstance(values["command"], list):
            raise ValueError(
                f"{where}: `command` holds the words of a cogrl command, got {values['command']!r}; write them as a "
                "list, such as [build, lime-mini]"
            )
        args = tuple(str(word) for word in values["command"])
        named = [word.partition("=")[2] for word in args]  # --policy NAME=DIR
        return Step(values["name"], args, notes, None, (*args, *named))
    fit, folder = values["fit"], run_dir / values["name"]
    check_keys(fit, FIT_KEYS, ("config",), f"{where}: fit")
    for config in fit["config"]:
        if not Path(config).is_file():
            raise FileNotFoundError(f"{where}: fit.config: {config} does not exist")
    overrides = fit.get("overrides", {})
    args = [word for config in fit["config"] for word in ("--config", config)]
    args += [f"--run_dir={folder}", *shared, *(f"--{key}={plain(value)}" for key, value in overrides.items())]
    sources = [(f"{where}: {config}", read_mapping(Path(config), "configuration")) for config in fit["config"]]
    layered = OmegaConf.merge(*(values for _, values in sources), {"run_dir": str(folder)})
    mentioned = (*fit["config"], *words(filled_in(layered, sources)), *words(overrides))
    return Step(values["name"], ("fit", *args), notes, folder, mentioned)


def within(path: Path, folder: Path) -> bool:
    """Whether `path` is `folder` or lies in it."""
    return folder.absolute() in (path.absolute(), *path.absolute().parents)


def check_keys(values: Mapping[str, Any], known: Sequence[str], required: Sequence[str], where: str) -> None:
    for key in values:
        if key not in known:
            raise ValueError(f"{where}: unknown key {key!r}; {nearest(key, known)}")
    missing = [key for key in required if key not in values]
    if missing:
        raise ValueError(f"{where}: missing key {', '.join(map(repr, missing))}")


def words(value: Any) -> Iterator[str]:
    """Every string inside nested values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from words(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from words(inner)


def plain(value: Any) -> str:
    """A value as the command line takes it."""
    return value if isinstance(value, str) else json.dumps(value)
