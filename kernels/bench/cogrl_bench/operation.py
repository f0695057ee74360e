"""What a benchmark is made of: an operation, the sizes it runs at, and the providers that compute it.

A provider is a function from a `Problem` to an `Outcome`. Opening it may import a library: ImportError means that it is
not installed, NotImplementedError or ValueError that it can not do this problem on this device.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Head:
    """A language-model head: width of the hidden states, entries of the vocabulary, and its logit cap."""

    width: int
    vocab: int
    softcap: float | None = None

    def __str__(self) -> str:
        return f"{self.width}x{self.vocab}" + ("" if self.softcap is None else f"@{self.softcap:g}")


@dataclass(frozen=True)
class Setting:
    """Where and on what an operation runs. `rollouts` of `tokens` in all; `zero_advantages` is a share of them.

    `lengths`: "uniform" (equal) or "long-tailed" (a few long rollouts among many short ones). `frozen_head` leaves the
    weight without a gradient, as LoRA does.
    """

    tokens: int
    head: Head | None
    device: torch.device
    dtype: torch.dtype
    rollouts: int = 8
    lengths: str = "uniform"
    zero_advantages: float = 0.0
    frozen_head: bool = False
    seed: int = 0
    of: str = ""
    """What else there is to say about the size."""

    @property
    def label(self) -> str:
        return (
            f"{self.tokens} tokens" + (f", head {self.head}" if self.head else "") + (f", {self.of}" if self.of else "")
        )

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")


@dataclass(frozen=True)
class Problem:
    """The inputs of one call. Tensors that require grad are the leaves whose gradients are checked."""

    setting: Setting
    tensors: Mapping[str, Tensor]

    @property
    def leaves(self) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in self.tensors.items() if tensor.requires_grad}

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]


Outcome = Mapping[str, Tensor]
"""By name. "objective" (no axes) is always there and is what backward starts from; the rest is checked when present."""
Call = Callable[[Problem], Outcome]
Truth = Mapping[str, Tensor]
"""float64: the outcome's values under their names, gradients as "grad <leaf>"."""


@dataclass(frozen=True)
class Work:
    """The least that has to be done: floating-point operations of matrix products, bytes to and from memory."""

    flops: float
    bytes: float


@dataclass(frozen=True)
class Provider:
    """`open(setting)` gives the call. `exact` providers are ours, held to the tolerances of the kernel tests."""

    open: Callable[[Setting], Call]
    exact: bool = False


@dataclass(frozen=True)
class Operation:
    """`work` is asked for the modes "score" (forward without gradient) and "full" (forward and backward)."""

    name: str
    problem: Callable[[Setting], Problem]
    truth: Callable[[Problem], Truth]
    work: Callable[[Setting, str], Work]
    providers: Mapping[str, Provider]
    uses_head: bool = True


def needs_gpu(setting: Setting) -> None:
    """Raises NotImplementedError on a CPU."""
    if setting.device.type != "cuda":
        raise NotImplementedError("needs a GPU")


def on_gpu(open: Callable[[Setting], Call]) -> Callable[[Setting], Call]:
    """The same, refused on a CPU."""

    def checked(setting: Setting) -> Call:
        needs_gpu(setting)
        return open(setting)

    return checked
