"""The formulas: policy-gradient losses and KL estimators of single tokens, as plain differentiable PyTorch.

They are those of `cogrl.objectives`, packed. A new loss is a function here and a line in `FORMULAS`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

LOG_RATIO_LIMIT = 20.0
"""exp(20) = 4.9e8: far beyond any useful ratio, far below the overflow of float32 (88)."""


@dataclass(frozen=True)
class Formula:
    """Inputs of a formula, all (n,): `log_ratio` before the clamp, 0 like `logprobs` on tokens that do not train."""

    logprobs: Tensor
    log_ratio: Tensor
    ratio: Tensor
    advantages: Tensor
    tau: Tensor | None
    clip_low: float | None
    clip_high: float | None


def sapo(x: Formula) -> tuple[Tensor, Tensor]:
    """`-4 / tau * sigmoid(tau * (ratio - 1)) * A`; the gate is its slope in the ratio. (arXiv 2511.20347, Eq. 6, 7)"""
    z = x.tau * (x.ratio - 1)
    up = torch.sigmoid(z)
    return -x.advantages * up * 4 / x.tau, 4 * up * torch.sigmoid(-z)


def clipped(x: Formula) -> tuple[Tensor, Tensor]:
    """`-min(ratio * A, clip(ratio) * A)`, of tokens or, in gspo, of sequences. (arXiv 2402.03300, Eq. 3)"""
    low, high = 1 - x.clip_low, 1 + x.clip_high
    loss = -torch.minimum(x.ratio * x.advantages, x.ratio.clamp(low, high) * x.advantages)
    outside = ((x.advantages > 0) & (x.ratio > high)) | ((x.advantages < 0) & (x.ratio < low))
    return loss, (~outside).to(x.ratio)


def cispo(x: Formula) -> tuple[Tensor, Tensor]:
    """`-detach(min(ratio, 1 + clip_high)) * A * logprob`: the weight is capped, no token is lost. (arXiv 2506.13585)"""
    weight = x.ratio.detach().clamp(max=1 + x.clip_high)
    # a clamped log-ratio stops the gradient here too, as it does where the ratio itself is differentiated
    logprobs = torch.where(x.log_ratio.abs() <= LOG_RATIO_LIMIT, x.logprobs, x.logprobs.detach())
    return -weight * x.advantages * logprobs, weight / x.ratio


def reinforce(x: Formula) -> tuple[Tensor, Tensor]:
    """`-A * logprob`. (Williams 1992, https://doi.org/10.1007/BF00992696)"""
    return -x.advantages * x.logprobs, torch.ones_like(x.logprobs)


FORMULAS = {
    "sapo": sapo,
    "grpo": clipped,
    "dapo": clipped,
    "dr_grpo": clipped,
    "gspo": clipped,
    "cispo": cispo,
    "reinforce": reinforce,
}
"""(loss, gate), both (n,); the gate is the share of the unclipped policy gradient that passes, 1 on-policy."""


def k1(log_ratio: Tensor) -> Tensor:
    """log(policy / reference)."""
    return log_ratio


def k2(log_ratio: Tensor) -> Tensor:
    """Half its square."""
    return log_ratio.square() / 2


def k3(log_ratio: Tensor) -> Tensor:
    """`x - 1 - log x` with `x = reference / policy`, the log clamped. (http://joschu.net/blog/kl-approx.html)"""
    y = (-log_ratio).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return y.expm1() - y


KL_ESTIMATORS = {"k1": k1, "k2": k2, "k3": k3}
"""log(policy / reference) (n,) -> estimate of KL(policy || reference) (n,)."""
