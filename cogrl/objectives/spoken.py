"""The policy objective of units: the same as that of the text, on the log-probabilities of what was spoken."""

from dataclasses import replace

import torch
from cogrl_kernels.policy_loss import PolicyLossConfig, policy_loss
from jaxtyping import Bool, Float
from torch import Tensor


def unit_objective(
    logprobs: Float[Tensor, "b n"],
    old_logprobs: Float[Tensor, "b n"],
    free: Bool[Tensor, "b n"],
    advantages: Float[Tensor, " b"],
    config: PolicyLossConfig,
    completions: int,
) -> Float[Tensor, ""]:
    """The objective `config` of `b` spoken replies, whose choices are `free`; each has the advantage of its completion.

    `completions` of the same micro-batch, those without a spoken reply included, are what it is averaged over: so
    micro-batches and ranks with other numbers of replies have the mean of the whole. The terms that compare with a
    reference, correct another engine or ask for entropy are of the text alone.

    Raises ValueError for an objective that is averaged over tokens.
    """
    b, n = logprobs.shape
    own = replace(config, kl_coef=0.0, entropy_coef=0.0, is_cap=None, n_routes=1)
    return policy_loss(
        logprobs.flatten(),
        advantages.to(logprobs.device),
        torch.arange(0, b * n + 1, n, device=logprobs.device),
        config=own,
        old_logprobs=old_logprobs.flatten(),
        mask=free.flatten(),
        num_rollouts=completions,
    ).loss
