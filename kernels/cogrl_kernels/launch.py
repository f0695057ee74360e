"""What every Triton launcher shares: the description of a compiled configuration, and who may be launched on what.

Imports no Triton, so that it can be read where there is none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class AotCase:
    """One configuration of one kernel that a launcher really uses, for the ahead-of-time check (`cogrl_kernels.aot`).

    `kernel` is the `@triton.jit` function; `signature` names the Triton type of every argument in order ("*fp32",
    "i32", "constexpr"); `constexprs` holds the values of the constexpr ones. `divisible` names the arguments that are
    multiples of 16 (pointers: aligned to 16 bytes), as the launch itself would find: without them a slower kernel is
    compiled than the one that runs. `tensor_cores`: the product has to be one of the target's matrix instructions.
    """

    name: str
    kernel: Any
    signature: Mapping[str, str]
    constexprs: Mapping[str, Any] = field(default_factory=dict)
    divisible: tuple[str, ...] = ()
    num_warps: int = 4
    num_stages: int = 3
    tensor_cores: bool = False


def signature(kernel: Any, **types: str) -> dict[str, str]:
    """The type of every argument of `kernel`, in its order; those not named are constexpr. Raises TypeError on a name
    the kernel does not have."""
    unknown = types.keys() - set(kernel.arg_names)
    if unknown:
        raise TypeError(f"{kernel.__name__} has no argument {', '.join(sorted(unknown))}; it has {kernel.arg_names}")
    return {name: types.get(name, "constexpr") for name in kernel.arg_names}


def interpreted(kernel: Any) -> bool:
    """Whether `kernel` runs in Triton's interpreter (TRITON_INTERPRET=1 when Triton was imported)."""
    return type(kernel).__name__ == "InterpretedFunction"


def require_launchable(operation: str, kernel: Any, *tensors: Tensor | None) -> None:
    """Raises ValueError where `kernel` cannot run: CPU tensors outside the interpreter, or several devices."""
    devices = {tensor.device for tensor in tensors if tensor is not None}
    if len(devices) > 1:
        raise ValueError(f"{operation}: inputs lie on different devices: {', '.join(sorted(map(str, devices)))}")
    wrong = [device for device in devices if device.type != "cuda"]
    if wrong and not interpreted(kernel):
        raise ValueError(
            f"{operation}: impl='triton' needs tensors on a GPU, these are on {wrong[0]}; pass impl='auto', "
            "or run in the interpreter with TRITON_INTERPRET=1"
        )
