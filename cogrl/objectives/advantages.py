"""Advantage estimators: from rewards to advantages, group by group, without looking at tokens.

The rows of a group are adjacent and share one prompt *and one format*: an explicit and an implicit answer to the same
clip are two groups, so the rewards of one format never move the advantages of the other.

An estimator is a function of `rewards` (p, g), finite, one row a group, that returns their advantages (p, g). Where it
has a parameter of that name it is also given `scored` (p, g), False where a reward failed, which then stands at the
mean of its group; and `variance_tolerance`, up to which the rewards of a group count as equal. The advantage of a
failed reward becomes 0, whatever is returned for it.
"""

from collections.abc import Callable

import torch
from cogrl_kernels.named import arguments_of, function_called
from jaxtyping import Bool, Float
from torch import Tensor

INPUTS = ("rewards", "scored", "variance_tolerance")


def group_normalised(
    rewards: Float[Tensor, "p g"], scored: Bool[Tensor, "p g"], variance_tolerance: float = 1e-8, eps: float = 1e-6
) -> Float[Tensor, "p g"]:
    """`(reward - group mean) / (group std + eps)`. (GRPO, arXiv 2402.03300; SAPO, arXiv 2511.20347)

    The std is the population's (divided by `g`, the papers do not say), of the scored rewards, so a group of one is 0
    and not NaN. A group whose variance is at most `variance_tolerance` carries no signal: exactly 0, not amplified
    rounding.
    """
    centred, variance = _centred(rewards)
    scaled = (centred / (variance.sqrt() + eps)).masked_fill(variance <= variance_tolerance, 0.0)
    # those that stand at the mean must not shrink the deviation of the others
    return scaled * scored.to(scaled).mean(1, keepdim=True).sqrt()


def group_centred(rewards: Float[Tensor, "p g"], variance_tolerance: float = 1e-8) -> Float[Tensor, "p g"]:
    """`reward - group mean`, without the division by std. (Dr. GRPO, arXiv 2503.20783)

    Groups without variance are exactly 0, as in `group_normalised`.
    """
    centred, variance = _centred(rewards)
    return centred.masked_fill(variance <= variance_tolerance, 0.0)


def leave_one_out(
    rewards: Float[Tensor, "p g"], scored: Bool[Tensor, "p g"], variance_tolerance: float = 1e-8
) -> Float[Tensor, "p g"]:
    """`reward - mean of the other scored rewards of its group`. (RLOO, arXiv 2402.14740, Eq. 8)

    That is `g / (g - 1)` times `group_centred` where none failed. Groups without variance are exactly 0, and so is a
    reward that has no other.
    """
    count = scored.sum(1, keepdim=True).to(rewards)
    return group_centred(rewards, variance_tolerance) * count / (count - 1).clamp(min=1)


ESTIMATORS: dict[str, Callable[..., Tensor]] = {
    "group_normalised": group_normalised,
    "group_centred": group_centred,
    "leave_one_out": leave_one_out,
}


class Advantages:
    """The estimator of this name, or the function of your own that an import path leads to.

    Raises ValueError for an unknown name, for a function that asks for more than there is, and for one that returns
    something else than one finite number a reward: it is tried on a few groups, one of them of equal rewards.
    """

    def __init__(self, name: str) -> None:
        self.name, self.function = name, function_called("advantages", name, ESTIMATORS)
        self.inputs = arguments_of("advantages", name, self.function, INPUTS)
        rewards = torch.tensor([[0.0, 1.0, 0.25, 0.75], [0.5, 0.5, 0.5, 0.5]])
        scored = torch.ones_like(rewards, dtype=torch.bool)
        try:
            found = self._asked(rewards, scored, 1e-8)
        except Exception as error:  # a user's function may raise anything
            what = f"{type(error).__name__}: {error}"
            raise ValueError(f"advantages={name!r} failed on two groups of 4 rewards: {what}") from error
        self._check(found, rewards, scored)

    def __call__(
        self, rewards: Float[Tensor, " b"], group_size: int, variance_tolerance: float = 1e-8
    ) -> Float[Tensor, " b"]:
        """The advantages of `rewards`, of which the failed ones are NaN and get 0. Raises ValueError as `grouped`."""
        groups = grouped(rewards, group_size)
        scored = ~rewards.isnan().view_as(groups)
        found = self._asked(groups, scored, variance_tolerance)
        self._check(found, groups, scored)
        return found.detach().to(rewards).masked_fill(~scored, 0.0).flatten()

    def _asked(self, rewards: Float[Tensor, "p g"], scored: Bool[Tensor, "p g"], variance_tolerance: float) -> object:
        there = {"rewards": rewards, "scored": scored, "variance_tolerance": variance_tolerance}
        return self.function(**{name: there[name] for name in self.inputs})

    def _check(self, found: object, rewards: Float[Tensor, "p g"], scored: Bool[Tensor, "p g"]) -> None:
        if not isinstance(found, Tensor) or found.shape != rewards.shape:
            what = tuple(found.shape) if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise ValueError(
                f"advantages={self.name!r} returned {what} for rewards {tuple(rewards.shape)}; return one number "
                "for each reward, one row a group"
            )
        wrong = (~found.isfinite() & scored).any(1)
        if wrong.any():
            raise ValueError(
                f"advantages={self.name!r} returned {found[wrong][0].tolist()} for a group of rewards "
                f"{rewards[wrong][0].tolist()}; they must be finite"
            )


def grouped(rewards: Float[Tensor, " b"], group_size: int) -> Float[Tensor, "p g"]:
    """Rewards by group; a failed one (NaN) stands at its group's mean, where it has no influence.

    Raises ValueError on an empty batch, a ragged one, or a reward that is infinite.
    """
    if group_size < 1:
        raise ValueError(f"group_size={group_size} must be at least 1")
    if len(rewards) == 0:
        raise ValueError("no rewards: the batch is empty; check that the engine returned rollouts")
    if len(rewards) % group_size:
        raise ValueError(f"batch of {len(rewards)} rollouts is not a multiple of group_size={group_size}")
    if rewards.isinf().any():
        bad = rewards.isinf().nonzero().flatten().tolist()
        raise ValueError(f"rewards of rollouts {bad} are not finite: {rewards[bad].tolist()}; fix or drop those groups")
    groups = rewards.unflatten(0, (-1, group_size))
    return torch.where(groups.isnan(), groups.nanmean(1, keepdim=True).nan_to_num(), groups)


def _centred(groups: Float[Tensor, "p g"]) -> tuple[Float[Tensor, "p g"], Float[Tensor, "p 1"]]:
    centred = groups - groups.mean(1, keepdim=True)
    return centred, centred.square().mean(1, keepdim=True)
