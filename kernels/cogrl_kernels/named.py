"""A function by its name in a table, or by its import path: `my_module.my_function`."""

import difflib
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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
    except Exception as error:  # a user's module may raise anything
        raise ValueError(f"{setting}={name!r} can not be imported: {type(error).__name__}: {error}") from error
    if not hasattr(found, attribute):
        public = [other for other in vars(found) if not other.startswith("_")]
        raise ValueError(f"{setting}={name!r}: {nearest(attribute, public)}{module} has no {attribute!r}")
    function = getattr(found, attribute)
    if isinstance(function, type) or not callable(function):
        raise ValueError(f"{setting}={name!r} is no function but {function!r}; name one")
    return function


def arguments_of(
    setting: str, name: str, function: Callable, inputs: Sequence[str], options: Collection[str] = ()
) -> tuple[str, ...]:
    """Which of `inputs` a function asks for, by the names of its parameters.

    Raises ValueError when it can not be called with inputs and options, all by name, or takes no input.
    """
    parameters = inspect.signature(function).parameters
    for option in options:
        if option in inputs or option not in parameters:
            raise ValueError(
                f"options: {name} has no option {option!r}; {nearest(option, set(parameters) - {*inputs})}"
            )
    for parameter in parameters.values():
        by_name = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        needed = parameter.default is parameter.empty and parameter.name not in {*inputs, *options}
        if needed or not by_name:
            raise ValueError(
                f"{setting}={name!r} asks for {str(parameter)!r}, which it is not given; "
                f"{nearest(parameter.name, inputs)}there are {', '.join(inputs)}; what else it takes needs a default"
            )
    asked = tuple(parameter for parameter in parameters if parameter in inputs)
    if not asked:
        raise ValueError(f"{setting}={name!r} asks for none of {', '.join(inputs)}")
    return asked


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean 'x'? `, or nothing where nothing is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}? " if close else ""
