"""From rewards to advantages, group by group. Nothing here looks at tokens.

The rows of a group are adjacent and share one prompt *and one format*: an explicit and an implicit answer to the same
clip are two groups, so the rewards of one format never move the advantages of the other.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def group_normalised(
    rewards: Float[Tensor, " b"], group_size: int, eps: float = 1e-6, variance_tolerance: float = 1e-8
) -> Float[Tensor, " b"]:
    """`(reward - group mean) / (group std + eps)`. (GRPO, arXiv 2402.03300; SAPO, arXiv 2511.20347)

    The std is the population's (divided by `group_size`, the papers do not say), so a group of one is 0 and not NaN.
    A group whose variance is at most `variance_tolerance` carries no signal: exactly 0, not amplified rounding.
    Raises ValueError on an empty batch, a ragged one, or a reward that is not finite.
    """
    centred, variance = _centred(rewards, group_size)
    scaled = centred / (variance.sqrt() + eps)
    return scaled.masked_fill(variance <= variance_tolerance, 0.0).flatten()


def group_centred(
    rewards: Float[Tensor, " b"], group_size: int, variance_tolerance: float = 1e-8
) -> Float[Tensor, " b"]:
    """`reward - group mean`, without the division by std. (Dr. GRPO, arXiv 2503.20783)

    Groups without variance are exactly 0 and bad input raises, as in `group_normalised`.
    """
    centred, variance = _centred(rewards, group_size)
    return centred.masked_fill(variance <= variance_tolerance, 0.0).flatten()


def _centred(rewards: Float[Tensor, " b"], group_size: int) -> tuple[Float[Tensor, "p g"], Float[Tensor, "p 1"]]:
    if group_size < 1:
        raise ValueError(f"group_size={group_size} must be at least 1")
    if len(rewards) == 0:
        raise ValueError("no rewards: the batch is empty; check that the engine returned rollouts")
    if len(rewards) % group_size:
        raise ValueError(f"batch of {len(rewards)} rollouts is not a multiple of group_size={group_size}")
    if not torch.isfinite(rewards).all():
        bad = torch.nonzero(~torch.isfinite(rewards)).flatten().tolist()
        raise ValueError(f"rewards of rollouts {bad} are not finite: {rewards[bad].tolist()}; fix or drop those groups")
    groups = rewards.unflatten(0, (-1, group_size))
    centred = groups - groups.mean(1, keepdim=True)
    return centred, centred.square().mean(1, keepdim=True)
