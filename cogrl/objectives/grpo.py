"""The clipped policy gradient of PPO and GRPO, with separate bounds (clip-higher). Reductions are in `reduce`."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cogrl.objectives.ratio import importance_ratio, usable_tokens
from cogrl.objectives.reduce import token_mean


def grpo(
    logprobs: Float[Tensor, "b t"],
    old_logprobs: Float[Tensor, "b t"],
    advantages: Float[Tensor, " b"],
    mask: Bool[Tensor, "b t"],
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Float[Tensor, "b t"]:
    """Group Relative Policy Optimisation: `-min(ratio * A, clip(ratio, 1 - clip_low, 1 + clip_high) * A)`.

    arXiv 2402.03300, Eq. 3 without the KL term (add `kl.k3` in sight of the reader); `clip_high=0.28` is DAPO's
    clip-higher (arXiv 2503.14476, Eq. 10). Per-token loss, not reduced; 0 outside `usable_tokens`.
    """
    ratio = importance_ratio(logprobs, old_logprobs, mask)
    loss = clipped_loss(ratio, advantages[:, None], *clip_bounds(clip_low, clip_high))
    return loss.masked_fill(~usable_tokens(logprobs, old_logprobs, mask), 0.0)


@torch.no_grad()
def clip_fraction(
    logprobs: Float[Tensor, "b t"],
    old_logprobs: Float[Tensor, "b t"],
    advantages: Float[Tensor, " b"],
    mask: Bool[Tensor, "b t"],
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Float[Tensor, ""]:
    """Share of masked-in tokens whose gradient the clip removes, for telemetry; 0 when no token is masked in."""
    ratio = importance_ratio(logprobs, old_logprobs, mask)
    low, high = clip_bounds(clip_low, clip_high)
    a = advantages[:, None]
    clipped = ((a > 0) & (ratio > high)) | ((a < 0) & (ratio < low))
    return token_mean(clipped.to(ratio), mask, mask.sum())


def clipped_loss(
    ratio: Float[Tensor, "*b"], advantages: Float[Tensor, "*#b"], low: float, high: float
) -> Float[Tensor, "*b"]:
    """`-min(ratio * A, clip(ratio, low, high) * A)`, of tokens or of sequences."""
    return -torch.minimum(ratio * advantages, ratio.clamp(low, high) * advantages)


def clip_bounds(clip_low: float, clip_high: float) -> tuple[float, float]:
    """`(1 - clip_low, 1 + clip_high)`; raises ValueError on bounds that do not hold 1 between them."""
    if not 0 <= clip_low <= 1 or not clip_high >= 0:
        raise ValueError(f"clip_low={clip_low}, clip_high={clip_high}: need 0 <= clip_low <= 1 and clip_high >= 0")
    return 1 - clip_low, 1 + clip_high
