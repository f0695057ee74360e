"""A function by its name in a table, or by its import path: `my_module.my_function`."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module


def function_called(setting: str, name: str, table: Mapping[str, Callable]) -> Callable:
    """The function of this name in `table`, or the one that the import path `name` leads to.

    Raises ValueError, which begins with `setting=name` and gives the nearest name, when there is no such function.
    """
    if name in table:
        return table[name]
    module, _, attribute = name.rpartition(".")
    if not module:
        known = f"pass one of {', '.join(table)}, or my_module.my_function for one of your own"
        raise ValueError(f"{setting}={name!r} is unknown; {nearest(name, table)}{known}")
    try:
        found = import_module(module)
    except Exception as error:  # whatever somebody's module raises
        raise ValueError(f"{setting}={name!r} can not be imported: {type(error).__name__}: {error}") from error
    if not hasattr(found, attribute):
        public = [other for other in vars(found) if not other.startswith("_")]
        raise ValueError(f"{setting}={name!r}: {nearest(attribute, public)}{module} has no {attribute!r}")
    function = getattr(found, attribute)
    if isinstance(function, type) or not callable(function):
        raise ValueError(f"{setting}={name!r} is no function but {function!r}; name one")
    return function


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean 'x'? `, or nothing where nothing is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}? " if close else ""
