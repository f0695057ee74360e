"""How a public operation picks its implementation: by name, never by silent fallback."""

import functools
import importlib.util
import logging
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

log = logging.getLogger("cogrl_kernels")
INSTALLED = importlib.util.find_spec("triton") is not None  # asked here, since a compiled graph cannot


def choose(
    operation: str, impl: str, implementations: Mapping[str, Callable], auto: str, like: Tensor | None = None
) -> Callable:
    """The function called `impl`; "auto" is the one called `auto` and is logged once per operation.

    With `like`, a tensor of the call, "triton" is refused here where it cannot run. Raises NotImplementedError for
    "triton" where the operation has no such kernel or Triton is missing, ValueError for a tensor Triton cannot reach
    and for any other unknown name.
    """
    if impl == "auto":
        announce(operation, auto)
        return implementations[auto]
    if impl == "triton" and impl in implementations and like is not None and not torch.compiler.is_compiling():
        _require_triton(operation, like)  # inside a compiled graph the launch itself refuses
    if impl in implementations:
        return implementations[impl]
    names = ", ".join(repr(name) for name in ("auto", *implementations))
    if impl == "triton":
        raise NotImplementedError(f"{operation} has no Triton kernel in this version; pass impl as one of {names}")
    raise ValueError(f"{operation}: unknown impl={impl!r}; pass one of {names}")


def fastest(like: Tensor, otherwise: str) -> str:
    """What "auto" means for a tensor such as `like`: "triton" on a GPU where Triton is installed, or `otherwise`.

    Float64 is for checking: it is computed by `otherwise` everywhere. "auto" never takes Triton's interpreter either.
    """
    return "triton" if like.is_cuda and like.dtype != torch.float64 and installed() else otherwise


def installed() -> bool:
    """Whether Triton can be imported; it is an optional dependency."""
    return INSTALLED


def _require_triton(operation: str, like: Tensor) -> None:
    if not installed():
        raise NotImplementedError(f"{operation}: impl='triton' but Triton is not installed; pip install triton")
    if like.dtype == torch.float64:
        raise ValueError(f"{operation}: impl='triton' computes in float32; pass impl='reference' for float64 inputs")
    import triton

    if not like.is_cuda and not triton.knobs.runtime.interpret:
        raise ValueError(
            f"{operation}: impl='triton' needs tensors on a GPU, these are on {like.device}; pass impl='auto', or run "
            "in the interpreter with TRITON_INTERPRET=1"
        )


def announce(operation: str, name: str) -> None:
    """Logs, once per process, what "auto" picked; nothing inside a compiled graph, which would break at the logger."""
    if not torch.compiler.is_compiling():
        _announce(operation, name)


@functools.cache
def _announce(operation: str, name: str) -> None:
    log.info("%s: impl='auto' picks %r", operation, name)
