"""The float64 result of a head, block of rows by block of rows, written apart from the kernels it judges."""

from collections.abc import Iterator

import torch
from torch import Tensor

from cogrl_bench.operation import Problem

BLOCK = 256


def _blocks(problem: Problem) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """(rows, hidden in float64, capped logits in float64) of each block."""
    hidden, weight, softcap = problem["hidden"].detach(), problem["weight"].detach(), problem.setting.head.softcap
    head = weight.double()
    for start in range(0, len(hidden), BLOCK):
        rows = slice(start, start + BLOCK)
        h = hidden[rows].double()
        z = h @ head.T
        yield rows, h, z if softcap is None else softcap * torch.tanh(z / softcap)


@torch.no_grad()
def values(problem: Problem) -> dict[str, Tensor]:
    """`logprobs` and `entropy` (tokens,) of the targets."""
    found = {"logprobs": [], "entropy": []}
    for rows, _, z in _blocks(problem):
        logp = torch.log_softmax(z, -1)
        found["logprobs"].append(logp.gather(1, problem["targets"][rows, None]).squeeze(1))
        found["entropy"].append(-(logp.exp() * logp).sum(-1))
    return {name: torch.cat(parts) for name, parts in found.items()}


@torch.no_grad()
def gradients(problem: Problem, upstream: Tensor) -> dict[str, Tensor]:
    """ "grad hidden" and "grad weight" for an upstream gradient (tokens,) of the log-probabilities."""
    softcap, head = problem.setting.head.softcap, problem["weight"].detach().double()
    grad_hidden = torch.zeros_like(problem["hidden"], dtype=torch.float64)
    grad_weight = torch.zeros_like(head)
    for rows, h, z in _blocks(problem):
        dz = -torch.softmax(z, -1)
        dz.scatter_add_(1, problem["targets"][rows, None], torch.ones_like(dz[:, :1]))
        dz *= upstream[rows, None]
        if softcap is not None:
            dz *= 1 - (z / softcap).square()
        grad_hidden[rows] = dz @ head
        grad_weight.addmm_(dz.T, h)
    found = {"grad hidden": grad_hidden, "grad weight": grad_weight}
    return {name: grad for name, grad in found.items() if problem[name.removeprefix("grad ")].requires_grad}
