"""Is a provider right? Its values and gradients against the float64 truth of the same rounded inputs."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cogrl_bench.operation import Call, Problem, Truth

FLOOR = 0.1
"""Of the objective's relative error: a mean near zero is judged absolutely."""


@dataclass(frozen=True)
class Bound:
    """Largest errors: of per-token values (absolute, nats) and of gradients and the objective (relative)."""

    values: float
    relative: float


EXACT = {
    torch.float64: Bound(1e-9, 1e-9),
    torch.float32: Bound(2e-5, 1e-5),
    torch.bfloat16: Bound(2e-5, 5e-3),
    torch.float16: Bound(2e-5, 1e-3),
}
"""What ours must keep: logits are float32 whatever the inputs."""
USABLE = {
    torch.float64: Bound(1e-6, 1e-6),
    torch.float32: Bound(1e-3, 1e-3),
    torch.bfloat16: Bound(0.3, 0.1),
    torch.float16: Bound(0.05, 0.02),
}
"""What others must keep to be timed: most of them round logits to the inputs' dtype. A shifted label errs by nats."""
TF32 = Bound(2e-2, 3e-3)


def bound(problem: Problem, exact: bool) -> Bound:
    setting = problem.setting
    if setting.dtype == torch.float32 and setting.device.type == "cuda":
        if torch.backends.cuda.matmul.allow_tf32:
            return TF32
        return Bound(2e-5, 2e-5) if exact else USABLE[torch.float32]
    return (EXACT if exact else USABLE)[setting.dtype]


def errors(call: Call, problem: Problem, truth: Truth) -> dict[str, float]:
    """The error of everything that the call returns and the truth knows, gradients included."""
    outcome = call(problem)
    leaves = problem.leaves
    found = dict(outcome)
    grads = torch.autograd.grad(outcome["objective"], list(leaves.values()), allow_unused=True)
    for (name, leaf), grad in zip(leaves.items(), grads, strict=True):
        found[f"grad {name}"] = torch.zeros_like(leaf) if grad is None else grad
    return {name: error(name, value, truth[name]) for name, value in found.items() if name in truth}


def error(name: str, value: Tensor, true: Tensor) -> float:
    difference = value.detach().double() - true
    if name.startswith("grad "):
        result = difference.norm() / true.norm().clamp(min=1e-30)
    elif name == "objective":
        result = difference.abs() / true.abs().clamp(min=FLOOR)
    else:
        result = difference.abs().max()
    return float(result.nan_to_num(nan=float("inf")))


def wrong(found: Mapping[str, float], limit: Bound) -> str | None:
    """What is beyond its bound, in words; None when all is well."""
    beyond = []
    for name, size in found.items():
        most = limit.relative if name == "objective" or name.startswith("grad ") else limit.values
        if not size <= most:
            beyond.append(f"{name} off by {size:.1e} (limit {most:.0e})")
    return "; ".join(beyond) or None
