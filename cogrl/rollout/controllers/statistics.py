"""How often, where and how long completions paused, read off their roles."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cogrl.types import Role, Rollouts

PARTS = 4
"""The histogram of places has so many bins."""


def pause_starts(rollouts: Rollouts, role: Role = Role.LATENT) -> Bool[Tensor, "b t"]:
    """Where a run of tokens of this role begins."""
    latent = rollouts.completions.roles_on_host == role
    return latent & ~torch.nn.functional.pad(latent, (1, 0))[:, :-1]


def pause_statistics(rollouts: Rollouts, role: Role = Role.LATENT) -> dict[str, Float[Tensor, " b"]]:
    """Of each completion: whether it paused, how often, with how many latent tokens, and where.

    `pauses_part_1` ... are the pauses in each quarter of the completion's text tokens; `pause_position` is the mean
    place, from 0 to 1 (NaN without a pause). Pauses are made of tokens of `role`, which latent tokens stands for.
    """
    starts, roles = pause_starts(rollouts, role), rollouts.completions.roles_on_host
    text = (roles == Role.SAMPLED) | (roles == Role.BENT)
    place = text.cumsum(1) / text.sum(1, keepdim=True).clamp(min=1)
    count = starts.sum(1)
    part = (place * PARTS).ceil().clamp(1, PARTS)
    return {
        "paused": (count > 0).float(),
        "pauses": count.float(),
        "latent_tokens": (roles == role).sum(1).float(),
        "pause_position": (place * starts).sum(1) / count,
        **{f"pauses_part_{i}": (starts & (part == i)).sum(1).float() for i in range(1, PARTS + 1)},
    }
