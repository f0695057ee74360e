"""The Triton policy loss as a PyTorch operator: shapes for tracing, gradients for autograd.

An operator of `torch.library`, so that `torch.compile` takes it as one node. It needs no Triton until it runs. All
float settings travel in one tensor: a new value compiles nothing.
"""

import math

import torch
from torch import Tensor

from cogrl_kernels.forward_gradients import multiply_in_backward
from cogrl_kernels.policy_arguments import apart
from cogrl_kernels.policy_config import PolicyLossConfig
from cogrl_kernels.policy_metrics import COLUMNS, SIGNS
from cogrl_kernels.policy_tokens import Number


@torch.library.custom_op("cogrl_kernels::policy_loss", mutates_args=())
def policy_loss_op(
    logprobs: Tensor,
    entropy: Tensor | None,
    advantages: Tensor,
    cu_seqlens: Tensor,
    old: Tensor | None,
    ref: Tensor | None,
    rollout: Tensor | None,
    mask: Tensor | None,
    routes: Tensor | None,
    tau_pos: Tensor | None,
    tau_neg: Tensor | None,
    count: Tensor | None,
    scalars: Tensor,
    kind: str,
    reduction: str,
    kl: str,
    bonus: bool,
    n_routes: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(loss, table, d loss / d logprobs, d loss / d entropy), all float32; the last is empty without `bonus`."""
    from cogrl_kernels.policy_loss_triton import LaunchInputs, launch

    given = (logprobs, entropy, advantages, cu_seqlens, old, ref, rollout, mask, routes, tau_pos, tau_neg, count)
    given = [None if x is None else x.contiguous() for x in given]
    return launch(LaunchInputs(*given, scalars), kind, reduction, kl, bonus, n_routes)


@policy_loss_op.register_fake
def _(logprobs, *given) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    bonus, n_routes = given[-2:]
    grad = torch.empty_like(logprobs, dtype=torch.float32, memory_format=torch.contiguous_format)
    table = grad.new_empty(n_routes, len(SIGNS), COLUMNS)
    return grad.new_empty(()), table, grad, grad.new_empty(logprobs.shape if bonus else 0)


multiply_in_backward(policy_loss_op, leaves=2)


def fused(
    logprobs: Tensor,
    entropy: Tensor | None,
    advantages: Tensor,
    cu_seqlens: Tensor,
    config: PolicyLossConfig,
    *,
    old_logprobs: Tensor | None,
    ref_logprobs: Tensor | None,
    rollout_logprobs: Tensor | None,
    mask: Tensor | None,
    routes: Tensor | None,
    num_tokens: Number | None,
    num_rollouts: Number | None,
) -> tuple[Tensor, Tensor]:
    """(loss, telemetry table) in two launches; backward multiplies the gradient that the first of them wrote."""
    count = num_tokens if config.denominator == "token_mean" else num_rollouts
    if count is None and config.denominator == "token_mean":
        count = len(logprobs) if mask is None else mask.sum()
    if count is None:
        count = len(cu_seqlens) - 1
    low, high = config.clips
    tensors, numbers = apart(*(config.taus or (1.0, 1.0)), count)
    scalars = [
        1 - (low or 0.0),
        1 + (high or 0.0),
        config.kl_coef,
        config.entropy_coef,
        math.inf if config.is_cap is None else config.is_cap,
        config.length or 1,
        *numbers,
    ]
    loss, table, _, _ = policy_loss_op(
        logprobs,
        entropy,
        advantages,
        cu_seqlens,
        old_logprobs,
        ref_logprobs,
        rollout_logprobs,
        mask,
        routes,
        *tensors,
        torch.tensor(scalars, dtype=torch.float32).to(logprobs.device, non_blocking=True),
        config.kind,
        config.denominator,
        config.kl_estimator if config.kl_coef else "",
        bool(config.entropy_coef),
        config.n_routes,
    )
    return loss, table.detach()
