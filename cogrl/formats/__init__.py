"""Formats by name: how an example is asked and a completion is read. One file a grammar."""

import difflib
from collections.abc import Iterable
from functools import cache
from importlib import import_module

from cogrl.formats.caption import CAPTION
from cogrl.formats.choice import CHOICE
from cogrl.formats.direct import DIRECT
from cogrl.formats.echo import ECHO
from cogrl.formats.eips import EIPS
from cogrl.formats.format import Format
from cogrl.formats.ieat import IEAT
from cogrl.formats.paqa import PAQA
from cogrl.formats.think_choice import THINK_CHOICE
from cogrl.types import Example

__all__ = ["FORMATS", "Format", "format_named", "instructions"]

_KNOWN = (EIPS, DIRECT, IEAT, CHOICE, THINK_CHOICE, PAQA, CAPTION, ECHO)
FORMATS: dict[str, Format] = {known.name: known for known in _KNOWN}


@cache
def format_named(name: str) -> Format:
    """The format of this name, or of the class at this import path, `module.Class`, which is then its name everywhere.

    Raises ValueError with the nearest name, or with what is wrong with the path.
    """
    if name in FORMATS:
        return FORMATS[name]
    module, dot, attribute = name.rpartition(".")
    if not dot:
        near = difflib.get_close_matches(name, FORMATS, n=1)
        hint = f"did you mean {near[0]}? Known" if near else "known"
        raise ValueError(
            f"no format is called {name!r}; {hint}: {', '.join(FORMATS)}; an own one is named by the import path of "
            "its class, such as my_formats.Terse"
        )
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"format {name!r} can not be imported: {error}; is its folder on PYTHONPATH?") from error
    if not (isinstance(found, type) and issubclass(found, Format)):
        raise ValueError(f"{name!r} is {found!r}; a format is a subclass of cogrl.formats.Format")
    made = found()
    made.name = name
    return made


def instructions(names: Iterable[str], example: Example) -> list[str]:
    """How each of these formats asks an example."""
    return [format_named(name).instruction(example) for name in names]
