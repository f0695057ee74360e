"""`${…}` in YAML: filled in, or an error that names the file and key of what can not be."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cogrl.cli.nearest import nearest

Sources = Sequence[tuple[str, Any]]
"""Files or flags and the values that stand in each, `${…}` not filled in; later ones win."""
_RESOLVERS = ("oc.env", "oc.select", "oc.decode", "oc.create", "oc.dict.keys", "oc.dict.values")


def filled_in(values: Any, sources: Sources) -> Any:
    """Plain values with every `${…}` filled in. Raises ValueError naming the file, the key and what is not there."""
    try:
        return OmegaConf.to_container(OmegaConf.create(values), resolve=True)
    except OmegaConfBaseException as error:
        raise ValueError(unresolved(str(error), sources) or first_line(sources, error)) from error


def unresolved(message: str, sources: Sources) -> str | None:
    """A library's message about a `${…}`, with the file and the key it is in; None for another message."""
    for pattern, tell in (
        (r"Environment variable '(.+?)' not found", unset_variable),
        (r"Interpolation key '\.*(.+?)' not found", undefined_key),
        (r"Unsupported interpolation type (\S+)", unknown_resolver),
    ):
        match = re.search(pattern, message)
        if match:
            return tell(match[1], sources)
    key = re.search(r"full_key: (\S+)", message)
    broken = [(source, name, text) for source, name, text in texts(sources) if key and key[1].endswith(name)]
    return f"{broken[-1][0]}: {broken[-1][1]}: {broken[-1][2]!r}: {message.splitlines()[0]}" if broken else None


def unset_variable(name: str, sources: Sources) -> str:
    where = place(sources, rf"oc\.env:\s*{re.escape(name)}\s*\}}")
    return (
        f"{where}: the environment variable {name!r} is not set; set it (export {name}=…), or write a default: "
        f"${{oc.env:{name},DEFAULT}}"
    )


def undefined_key(name: str, sources: Sources) -> str:
    text = f"${{{name}}}"
    return f"{place(sources, re.escape(text))}: {text} is not defined: no file and no flag sets {name!r}"


def unknown_resolver(name: str, sources: Sources) -> str:
    where = place(sources, rf"\{{{re.escape(name)}:")
    return f"{where}: ${{{name}:…}} is unknown; {nearest(name, _RESOLVERS)}"


def place(sources: Sources, pattern: str) -> str:
    """`file: key` of the last text that holds the pattern."""
    found = [f"{source}: {name}" for source, name, text in texts(sources) if re.search(pattern, text)]
    return found[-1] if found else "configuration"


def texts(sources: Sources) -> Iterator[tuple[str, str, str]]:
    for source, values in sources:
        for name, text in leaves(values):
            yield source, name, text


def leaves(values: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted name and text of every text inside nested values."""
    if isinstance(values, str):
        yield prefix, values
    elif isinstance(values, Mapping):
        for key, value in values.items():
            yield from leaves(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(values, Sequence):
        for number, value in enumerate(values):
            yield from leaves(value, f"{prefix}[{number}]")


def first_line(sources: Sources, error: Exception) -> str:
    return f"{' + '.join(source for source, _ in sources)}: {str(error).splitlines()[0]}"
