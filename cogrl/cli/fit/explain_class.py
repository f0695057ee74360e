"""Why a class that a configuration names can not be used there: it does not exist, or something is missing in it."""

import difflib
import inspect
import re
import typing
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from cogrl.cli.nearest import nearest


def class_called(path: str, base: type = object) -> Any:
    """The class with this full name, or with this short name among those derived from `base`.

    Raises ValueError, with the nearest name, when there is none.
    """
    module, _, name = path.rpartition(".")
    if not module:
        return by_short_name(path, base)
    try:
        found = import_module(module)
    except ImportError as error:
        raise ValueError(f"{path!r} can not be imported: {error}{near_module(module)}") from error
    if not hasattr(found, name):
        raise ValueError(
            f"{module} has no {name!r}; {nearest(name, [n for n in vars(found) if not n.startswith('_')])}"
        )
    return getattr(found, name)


def by_short_name(name: str, base: type) -> Any:
    known = {found.__name__: found for found in derived(base) if not inspect.isabstract(found)}
    own = f"package.module.{name}"
    if not known:
        raise ValueError(f"{name!r} is no full name; write {own}")
    if is_protocol(base):  # its classes have no short names: the parser can not list them
        close = difflib.get_close_matches(name, known, n=1)
        shown = [f"{known[short].__module__}.{short}" for short in (close or sorted(known))]
        raise ValueError(f"{name!r} is no full name; write {own}, or one of these: {', '.join(shown)}")
    if name not in known:
        raise ValueError(f"no {base.__name__} is called {name!r} (one of your own: {own}); {nearest(name, known)}")
    return known[name]


def derived(base: type) -> Iterator[type]:
    """Classes derived from `base` that have been imported; of a protocol, those beside it that fulfil it."""
    if is_protocol(base):
        room = import_module(base.__module__.rpartition(".")[0])
        for module in [import_module(f"{room.__name__}.{m.name}") for m in iter_modules(getattr(room, "__path__", []))]:
            for found in list(vars(module).values()):
                own = inspect.isclass(found) and found.__module__ == module.__name__
                if own and found is not base and not any(unlike(found, base, "")):
                    yield found
    elif base is not object:
        yield base
        for child in base.__subclasses__():
            yield from derived(child)


def near_module(module: str) -> str:
    """`; did you mean 'x'?` about the first part of a module's name that does not exist, if what is before it does."""
    parent, _, name = module.rpartition(".")
    if not parent:
        return ""
    try:
        package = import_module(parent)
    except ImportError:
        return near_module(parent)
    return (
        f"; {parent} has no {name!r}: {nearest(name, [m.name for m in iter_modules(getattr(package, '__path__', []))])}"
    )


def is_protocol(base: type) -> bool:
    return getattr(base, "_is_protocol", False)


def unfit(found: Any, base: type, path: str) -> Iterator[str]:
    """What keeps `found`, named `path`, from being a `base`. Nothing when it is one."""
    if inspect.isclass(found):
        yield from unlike(found, base, path) if is_protocol(base) else underived(found, base, path)
    elif inspect.isroutine(found):
        made = hints(found).get("return")
        if made is None:
            yield f"{path} is a function whose return is not annotated; write -> {base.__name__}, or give a class"
        elif inspect.isclass(made) and any(unfit(made, base, path)):
            yield f"{path} returns a {made.__name__}, which is no {base.__name__}"
    else:
        yield f"{path} is no class but {found!r}"


def underived(found: type, base: type, path: str) -> Iterator[str]:
    if not issubclass(found, base):
        yield f"{path} is no {base.__name__}; derive it from {base.__module__}.{base.__qualname__}"
    elif inspect.isabstract(found):
        yield f"{path} lacks {', '.join(sorted(found.__abstractmethods__))}, which every {base.__name__} has"


def unlike(found: type, protocol: type, path: str) -> Iterator[str]:
    """Methods of a protocol that the class lacks, and parameters that are missing, without annotation or with another.

    The parser compares annotations: they must be those of the protocol.
    """
    for name, needed in inspect.getmembers(protocol, inspect.isfunction):
        if name.startswith("_"):
            continue
        mine, model = getattr(found, name, None), f"write it as def {name}{written(needed)}"
        if not callable(mine):
            yield f"{path} has no method {name!r}, which a {protocol.__name__} needs: {model}"
            continue
        theirs, ours = hints(needed), hints(mine)
        parameters = inspect.signature(mine).parameters
        for parameter in [p for p in inspect.signature(needed).parameters if p != "self"]:
            if parameter not in parameters:
                yield f"{path}.{name} has no parameter {parameter!r}; {model}"
            else:
                yield from other_annotation(f"{path}.{name}: {parameter!r}", parameter, ours, theirs, model)
        yield from other_annotation(f"{path}.{name}: its return", "return", ours, theirs, model)


def other_annotation(what: str, key: str, ours: dict[str, Any], theirs: dict[str, Any], model: str) -> Iterator[str]:
    if key in theirs and key not in ours:
        yield f"{what} has no annotation; {model}"
    elif key in theirs and ours[key] != theirs[key]:
        yield f"{what} is annotated {shown(ours[key])}, not {shown(theirs[key])}; {model}"


def hints(function: Any) -> dict[str, Any]:
    """Annotations as types, as text where they name what can not be found."""
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        return dict(getattr(function, "__annotations__", {}))


def written(function: Any) -> str:
    """A signature as one writes it."""
    parts = [
        p if p == "self" else f"{p}: {shown(hints(function).get(p, Any))}"
        for p in inspect.signature(function).parameters
    ]
    return f"({', '.join(parts)}) -> {shown(hints(function).get('return'))}"


def shown(annotation: Any) -> str:
    """An annotation without the modules of its names."""
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", inspect.formatannotation(annotation))


def left_open(values: Any, path: str = "") -> Iterator[str]:
    """Constructor parameters of the classes in a parsed configuration that have no value, not even a default.

    The parser asks for parameters with an annotation only, and gives the others None.
    """
    if isinstance(values, list):
        for number, value in enumerate(values):
            yield from left_open(value, f"{path}[{number}]")
    if not isinstance(values, dict):
        return
    if isinstance(values.get("class_path"), str):
        given = values.get("init_args") or {}
        for name, parameter in parameters_of(values["class_path"]).items():
            bare = parameter.default is parameter.empty and parameter.annotation is parameter.empty
            if bare and parameter.kind == parameter.POSITIONAL_OR_KEYWORD and given.get(name) is None:
                yield (
                    f"{path}: {values['class_path']} needs {name!r}, which has no annotation in its __init__ and no "
                    f"value; write `{name}: float` (or what it is) there and set {path}.init_args.{name}"
                )
    for key, value in values.items():
        yield from left_open(value, f"{path}.{key}" if path else str(key))


def parameters_of(path: str) -> dict[str, inspect.Parameter]:
    """Of the constructor; none where it can not be looked at."""
    try:
        return dict(inspect.signature(class_called(path)).parameters)
    except (ValueError, TypeError):
        return {}
