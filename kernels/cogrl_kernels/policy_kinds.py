"""The policy losses and KL estimators of single tokens, as plain differentiable PyTorch: their one definition.

A loss is a function of plain tensors, which it asks for by the name of its parameters. All are (n,), one number a
token, and so is what it returns: not masked, not averaged, without KL and entropy. `own_kind` says what a function of
your own may ask for. A new kind of ours is a function here, a line in `KINDS` and one in `policy_config.DEFAULTS`.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

LOG_RATIO_LIMIT = 20.0
"""exp(20) = 4.9e8: far beyond any useful ratio, far below the overflow of float32 (88)."""


def sapo(ratio: Tensor, advantages: Tensor, tau: Tensor) -> Tensor:
    """`-4 / tau * sigmoid(tau * (ratio - 1)) * A`. (arXiv 2511.20347, Eq. 6)"""
    return -advantages * torch.sigmoid(tau * (ratio - 1)) * 4 / tau


def clipped(ratio: Tensor, advantages: Tensor, clip_low: float, clip_high: float) -> Tensor:
    """`-min(ratio * A, clip(ratio) * A)`: GRPO (arXiv 2402.03300, Eq. 3), DAPO and Dr. GRPO."""
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip_low, 1 + clip_high) * advantages)


def gspo(sequence_ratio: Tensor, advantages: Tensor, clip_low: float, clip_high: float) -> Tensor:
    """`clipped` with the ratio of the whole completion, the same at each of its tokens. (arXiv 2507.18071, Eq. 5)"""
    return clipped(sequence_ratio, advantages, clip_low, clip_high)


def cispo(logprobs: Tensor, log_ratio: Tensor, ratio: Tensor, advantages: Tensor, clip_high: float) -> Tensor:
    """`-detach(min(ratio, 1 + clip_high)) * A * logprob`: the weight is capped, no token is lost. (arXiv 2506.13585)"""
    weight = ratio.detach().clamp(max=1 + clip_high)
    # a clamped log-ratio stops the gradient here too, as it does where the ratio itself is differentiated
    logprobs = torch.where(log_ratio.abs() <= LOG_RATIO_LIMIT, logprobs, logprobs.detach())
    return -weight * advantages * logprobs


def reinforce(logprobs: Tensor, advantages: Tensor) -> Tensor:
    """`-A * logprob`. (Williams 1992, https://doi.org/10.1007/BF00992696)"""
    return -advantages * logprobs


def sapo_gate(ratio: Tensor, advantages: Tensor, tau: Tensor) -> Tensor:
    """`sech^2(tau * (ratio - 1) / 2)`. (arXiv 2511.20347, Eq. 7)"""
    z = tau * (ratio - 1)
    return 4 * torch.sigmoid(z) * torch.sigmoid(-z)


def clip_gate(ratio: Tensor, advantages: Tensor, clip_low: float, clip_high: float) -> Tensor:
    """0 where the clip removes the gradient of a token, else 1."""
    outside = ((advantages > 0) & (ratio > 1 + clip_high)) | ((advantages < 0) & (ratio < 1 - clip_low))
    return (~outside).to(ratio)


def gspo_gate(sequence_ratio: Tensor, advantages: Tensor, clip_low: float, clip_high: float) -> Tensor:
    """0 where the clip removes the gradient of a completion, else 1."""
    return clip_gate(sequence_ratio, advantages, clip_low, clip_high)


def cispo_gate(logprobs: Tensor, log_ratio: Tensor, ratio: Tensor, advantages: Tensor, clip_high: float) -> Tensor:
    """The capped weight over the ratio."""
    return ratio.clamp(max=1 + clip_high) / ratio


def reinforce_gate(logprobs: Tensor, advantages: Tensor) -> Tensor:
    """1: there is neither gate nor clip."""
    return torch.ones_like(logprobs)


@dataclass(frozen=True)
class PolicyKind:
    """A loss and its gate, which takes the same arguments and is for telemetry: the share of the unclipped policy
    gradient that passes, 1 on-policy. A loss without a gate is differentiated to find it."""

    loss: Callable[..., Tensor]
    gate: Callable[..., Tensor] | None
    inputs: tuple[str, ...]


def _kind(loss: Callable[..., Tensor], gate: Callable[..., Tensor]) -> PolicyKind:
    return PolicyKind(loss, gate, tuple(inspect.signature(loss).parameters))


KINDS = {
    "sapo": _kind(sapo, sapo_gate),
    "grpo": _kind(clipped, clip_gate),
    "dapo": _kind(clipped, clip_gate),
    "dr_grpo": _kind(clipped, clip_gate),
    "gspo": _kind(gspo, gspo_gate),
    "cispo": _kind(cispo, cispo_gate),
    "reinforce": _kind(reinforce, reinforce_gate),
}


def k1(log_ratio: Tensor) -> Tensor:
    """log(policy / reference): unbiased, high variance; as a loss its gradient has mean zero."""
    return log_ratio


def k2(log_ratio: Tensor) -> Tensor:
    """Half its square: biased, low variance; as a loss it has the gradient of KL(policy || reference) on-policy."""
    return log_ratio.square() / 2


def k3(log_ratio: Tensor) -> Tensor:
    """`x - 1 - log x` with `x = reference / policy`, the log clamped: unbiased, low variance, never negative.

    GRPO's choice; as a loss its gradient is that of the forward KL. (http://joschu.net/blog/kl-approx.html)
    """
    y = (-log_ratio).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return y.expm1() - y


KL_ESTIMATORS = {"k1": k1, "k2": k2, "k3": k3}
"""log(policy / reference) (n,) -> estimate of KL(policy || reference) (n,)."""
