"""Clipped importance sampling: the weight is capped, no token is lost. Reductions are in `reduce`."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cogrl.objectives.ratio import LOG_RATIO_LIMIT, importance_ratio, usable_log_ratio, usable_tokens


def cispo(
    logprobs: Float[Tensor, "b t"],
    old_logprobs: Float[Tensor, "b t"],
    advantages: Float[Tensor, " b"],
    mask: Bool[Tensor, "b t"],
    clip_high: float = 4.0,
) -> Float[Tensor, "b t"]:
    """CISPO: `-min(ratio, 1 + clip_high) * A * logprob`, the weight detached. (arXiv 2506.13585, Eq. 4)

    Per-token loss, not reduced; its own reduction is `token_mean`. 0 outside `usable_tokens`. There is no lower bound,
    as in the paper's runs; the paper leaves the upper one open, 1 + 4 is that of arXiv 2510.13786. A token whose
    log-ratio is clamped has no gradient.
    """
    if not clip_high >= 0:
        raise ValueError(f"clip_high={clip_high} must be at least 0; the ratio is capped at 1 + clip_high")
    weight = importance_ratio(logprobs, old_logprobs, mask).detach().clamp(max=1 + clip_high)
    usable = usable_tokens(logprobs, old_logprobs, mask)
    clamped = usable_log_ratio(logprobs, old_logprobs, mask).abs() > LOG_RATIO_LIMIT
    logprobs = torch.where(clamped, logprobs.detach(), logprobs).masked_fill(~usable, 0.0)
    return -advantages[:, None] * weight * logprobs
