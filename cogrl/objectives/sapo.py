"""Soft Adaptive Policy Optimisation: the per-token loss and its gate. Reductions are in `reduce`."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cogrl.objectives.ratio import importance_ratio, usable_tokens

Temperature = int | float | Float[Tensor, ""]


def sapo(
    logprobs: Float[Tensor, "b t"],
    old_logprobs: Float[Tensor, "b t"],
    advantages: Float[Tensor, " b"],
    mask: Bool[Tensor, "b t"],
    tau_pos: Temperature = 1.0,
    tau_neg: Temperature = 1.05,
) -> Float[Tensor, "b t"]:
    """Soft Adaptive Policy Optimisation: a smooth gate where GRPO has a hard clip. (arXiv 2511.20347, Eq. 5 and 6)

    Per-token loss `-4/tau * sigmoid(tau * (ratio - 1)) * advantage`, not reduced; 0 outside `usable_tokens`. `tau` is
    `tau_pos` for positive advantages and `tau_neg` for the others. The gate has slope 1 at ratio 1 for every tau, so
    on-policy the gradient is REINFORCE's; the loss *value* there is `-2/tau * advantage`, which is no error.
    """
    ratio = importance_ratio(logprobs, old_logprobs, mask)
    tau = _tau(ratio, advantages, tau_pos, tau_neg)
    gated = torch.sigmoid(tau * (ratio - 1)) * 4 / tau
    return (-advantages[:, None] * gated).masked_fill(~usable_tokens(logprobs, old_logprobs, mask), 0.0)


@torch.no_grad()
def sapo_gate(
    logprobs: Float[Tensor, "b t"],
    old_logprobs: Float[Tensor, "b t"],
    advantages: Float[Tensor, " b"],
    mask: Bool[Tensor, "b t"],
    tau_pos: Temperature = 1.0,
    tau_neg: Temperature = 1.05,
) -> Float[Tensor, "b t"]:
    """How much of each token's policy gradient passes: `sech^2(tau * (ratio - 1) / 2)`. (arXiv 2511.20347, Eq. 7)

    In [0, 1], detached, for telemetry: a token below one half is the soft counterpart of a clipped one. 0 outside
    `usable_tokens`.
    """
    ratio = importance_ratio(logprobs, old_logprobs, mask)
    x = _tau(ratio, advantages, tau_pos, tau_neg) * (ratio - 1)
    gate = 4 * torch.sigmoid(x) * torch.sigmoid(-x)
    return gate.masked_fill(~usable_tokens(logprobs, old_logprobs, mask), 0.0)


def _tau(
    ratio: Float[Tensor, "b t"], advantages: Float[Tensor, " b"], tau_pos: Temperature, tau_neg: Temperature
) -> Float[Tensor, "b 1"]:
    for name, tau in (("tau_pos", tau_pos), ("tau_neg", tau_neg)):
        # a tensor is not read: that would wait for the device
        if not isinstance(tau, Tensor) and not tau > 0:
            raise ValueError(f"{name}={tau} must be positive; the paper uses 1.0 and 1.05")
    pos, neg = (torch.as_tensor(tau, dtype=ratio.dtype, device=ratio.device) for tau in (tau_pos, tau_neg))
    return torch.where(advantages > 0, pos, neg)[:, None]
