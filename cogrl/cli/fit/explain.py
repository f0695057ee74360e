"""What is wrong with a configuration: which file (or flag), which key, and the nearest key that exists.

Runs only after parsing has failed. jsonargparse reports nested union errors without the file; here each file and flag
is compared with the options of the parser and of the classes it names.
"""

import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import jsonargparse
import yaml

from cogrl.cli.fit.explain_class import class_called, unfit
from cogrl.cli.fit.interpolation import unresolved
from cogrl.cli.nearest import nearest
from cogrl.cli.yaml_file import read_yaml

Options = Mapping[str, Any]
"""Dotted name -> type hint."""
_NEEDED = {
    "model": "no stage given; begin with --config configs/stage/sft.yaml (or another file of configs/stage)",
    "policy": "no policy given; add --config configs/policy/tiny.yaml after the stage's file",
    "path": "policy.path is missing; give the Hugging Face folder of the policy with --model.policy.path DIR",
}
_HOLLOW = "holds no keys; write them below it, further to the right, or remove the line"
_SUBCLASS_KEYS = ("class_path", "init_args", "dict_kwargs")


def explain(message: str, args: Sequence[str], parser: jsonargparse.ArgumentParser) -> str:
    """The first wrong or unknown key in the order given, else jsonargparse's own words, shortened."""
    sources = list(read_sources(args))
    merged: dict[str, Any] = {}
    for _, values in sources:
        merged = merge(merged, values)
    for source, values in sources:
        for problem in problems(values, options(parser), merged):
            return f"{source}: {problem}"
    return unresolved(message, sources) or missing(message) or plain(message)


def empty_groups(args: Sequence[str], parser: jsonargparse.ArgumentParser) -> Iterator[str]:
    """Outer keys with nothing below them, which the parser may treat as absent."""
    known = options(parser)
    for source, values in read_sources(args):
        for key in [key for key, value in values.items() if value is None and needs_keys(key, known)]:
            yield f"{source}: {key}: {_HOLLOW}"


def read_sources(args: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file or flag, nested values) in the order of the command line; ValueError for a file that is no mapping."""
    pending = None
    for arg in args:
        name, equals, value = arg.partition("=")
        if pending is None and arg.startswith("-"):
            if equals:
                yield from read_source(name, value)
            else:
                pending = name
        elif pending is not None:
            yield from read_source(pending, arg)
            pending = None


def read_source(name: str, value: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if name not in ("-c", "--config"):
        try:
            nested: Any = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError(f"{name}={value}: not YAML: {error}") from error
        for part in reversed(name.lstrip("-").removesuffix("+").split(".")):
            nested = {part: nested}
        yield name, nested
        return
    if not Path(value).is_file():
        raise FileNotFoundError(f"--config {value}: no such file")
    yield value, read_yaml(Path(value))


def merge(old: Any, new: Any) -> Any:
    """Later keys win; mappings are merged."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return old | {key: merge(old.get(key), value) for key, value in new.items()}


def options(parser: jsonargparse.ArgumentParser) -> Options:
    """Every option of a parser, without the names of groups."""
    actions = [action for action in parser._actions if action.dest.split(".")[-1] != "help"]
    found = {action.dest: getattr(action, "_typehint", None) or action.type for action in actions}
    return {name: hint for name, hint in found.items() if not any(other.startswith(f"{name}.") for other in found)}


def options_of(cls: type) -> Options:
    """The constructor arguments of a class, inherited ones included."""
    parser = jsonargparse.ArgumentParser()
    parser.add_class_arguments(cls, fail_untyped=False)
    return options(parser)


def problems(
    values: Mapping[str, Any], known: Options, merged: Any, prefix: str = "", shown: str = ""
) -> Iterator[str]:
    """What is wrong in `values`. `prefix` leads to them inside `known`, `shown` in the user's file."""
    for key, value in values.items():
        name, full = f"{prefix}{key}", f"{shown}{key}"
        below = merged.get(key) if isinstance(merged, dict) else None
        if value is None and needs_keys(name, known):
            yield f"{full}: {_HOLLOW}"
        elif name in known:
            yield from wrong_value(full, value, known[name], below)
        elif group(name, known):
            if isinstance(value, dict):
                yield from problems(value, known, below, f"{name}.", f"{full}.")
            else:
                yield f"{full}: {value!r} is not a group of keys"
        else:
            siblings = {other.removeprefix(prefix).split(".")[0] for other in known if other.startswith(prefix)}
            yield f"unknown key {full!r}; {nearest(str(key), siblings)}"


def group(name: str, known: Options) -> bool:
    """Whether the name is that of a group of options."""
    return any(other.startswith(f"{name}.") for other in known)


def needs_keys(name: str, known: Options) -> bool:
    """Whether the name stands for nothing without keys of its own."""
    return name in _NEEDED or (name not in known and group(name, known))


def wrong_value(full: str, value: Any, hint: Any, merged: Any) -> Iterator[str]:
    classes = classes_in(alternatives(hint))
    for number, item in enumerate(value if isinstance(value, list) else []):
        kind = next(iter(classes_in(part for one in alternatives(hint) for part in get_args(one))), object)
        if isinstance(item, dict) and "class_path" in item:
            yield from wrong_object(f"{full}[{number}]", item, kind, {})
        elif isinstance(item, str) and kind is not object:
            yield from wrong_class(f"{full}[{number}]", item, kind)
    for kind in alternatives(hint):
        if isinstance(value, dict) and get_origin(kind) is dict and importable(get_args(kind)[1]):
            for key, item in value.items():
                yield from wrong_value(f"{full}.{key}", item, get_args(kind)[1], {})
    if not isinstance(value, dict) or not classes:
        for problem in wrong_leaf(full, value, hint):
            if isinstance(value, str) and importable(hint):
                yield from wrong_class(full, value, classes[0] if classes else object)
            yield problem
    elif is_dataclass(classes[0]):
        yield from problems(value, options_of(classes[0]), merged, shown=f"{full}.")
    elif not takes_functions(hint) or any(wrong_leaf(full, value, hint)):
        yield from wrong_object(full, value, classes[0], merged if isinstance(merged, dict) else {})


def importable(hint: Any) -> bool:
    """Whether a string under this hint is the name of a class or of a function."""
    classes = classes_in(alternatives(hint))
    named = bool(classes) and not is_dataclass(classes[0]) and str not in alternatives(hint)
    return named or takes_functions(hint)


def takes_functions(hint: Any) -> bool:
    """Whether a function, or an object that can be called like one, may stand under this hint."""
    return any(get_origin(kind) is Callable for kind in alternatives(hint))


def wrong_object(full: str, value: Mapping[str, Any], base: type, merged: Mapping[str, Any]) -> Iterator[str]:
    """A value of the form class_path + init_args; the class may stand in another file, `init_args` may be left out."""
    path = value.get("class_path") or merged.get("class_path") or f"{base.__module__}.{base.__qualname__}"
    if "class_path" in value:
        yield from wrong_class(f"{full}.class_path", path, base)
    try:
        known = options_of(class_called(path, base))
    except ValueError:
        return
    short = [key for key in value if key not in _SUBCLASS_KEYS]
    if set(value) & set(_SUBCLASS_KEYS) and short:
        yield f"unknown key '{full}.{short[0]}'; {nearest(short[0], _SUBCLASS_KEYS)}"
    inner, shown = (value, f"{full}.") if short else (value.get("init_args") or {}, f"{full}.init_args.")
    yield from problems(inner, known, merged.get("init_args", merged), shown=shown)


def wrong_class(full: str, path: str, base: type) -> Iterator[str]:
    """Why the class of this name can not stand here."""
    try:
        found = class_called(path, base)
    except ValueError as error:
        yield f"{full}: {error}"
        return
    for problem in unfit(found, base, path) if base is not object else ():
        yield f"{full}: {problem}"


def classes_in(hints: Iterable[Any]) -> list[type]:
    """Those of the hints that are user-defined classes."""
    return [hint for hint in hints if isinstance(hint, type) and hint.__module__ != "builtins"]


def wrong_leaf(full: str, value: Any, hint: Any) -> Iterator[str]:
    if hint is None or (isinstance(value, str) and "${" in value):
        return
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=hint)
    try:
        parser.parse_object({"value": deepcopy(value)})  # lists are changed in place
    except jsonargparse.ArgumentError:
        yield f"{full}: {value!r} is not {readable(hint)}"


def alternatives(hint: Any) -> Sequence[Any]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def readable(hint: Any) -> str:
    """`int`, `float or null`, `one of 'A', 'B'` …"""
    words = [
        "null" if part is type(None) else part.__name__ if isinstance(part, type) else str(part).replace("typing.", "")
        for part in alternatives(hint)
    ]
    return "of type " + " or ".join(words)


def missing(message: str) -> str | None:
    """Advice for the parts that every run needs."""
    match = re.search(r"arguments are required: (\S+)", message)
    return _NEEDED.get(match[1].split(".")[-1]) if match else None


def plain(message: str) -> str:
    """jsonargparse's message without the dump of the values."""
    lines = [line for line in message.splitlines() if not line.strip().startswith(("Given value", "Subtypes:"))]
    return "\n".join(lines[:12])
