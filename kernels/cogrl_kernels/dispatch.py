"""How a public operation picks its implementation: by name, never by silent fallback."""

import functools
import logging
from collections.abc import Callable, Mapping

log = logging.getLogger("cogrl_kernels")


def choose(operation: str, impl: str, implementations: Mapping[str, Callable], auto: str) -> Callable:
    """The function called `impl`; "auto" is the one called `auto` and is logged once per operation.

    Raises NotImplementedError for "triton" where there is no such kernel, ValueError for any other unknown name.
    """
    if impl == "auto":
        _announce(operation, auto)
        return implementations[auto]
    if impl in implementations:
        return implementations[impl]
    names = ", ".join(repr(name) for name in ("auto", *implementations))
    if impl == "triton":
        raise NotImplementedError(f"{operation} has no Triton kernel in this version; pass impl as one of {names}")
    raise ValueError(f"{operation}: unknown impl={impl!r}; pass one of {names}")


@functools.cache
def _announce(operation: str, name: str) -> None:
    log.info("%s: impl='auto' picks %r", operation, name)
