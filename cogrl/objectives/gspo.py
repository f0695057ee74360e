"""The clip of `grpo` on the ratio of a whole sequence. Reductions are in `reduce`."""

from jaxtyping import Bool, Float
from torch import Tensor

from cogrl.objectives.grpo import clip_bounds, clipped_loss
from cogrl.objectives.ratio import sequence_ratio, usable_tokens


def gspo(
    logprobs: Float[Tensor, "b t"],
    old_logprobs: Float[Tensor, "b t"],
    advantages: Float[Tensor, " b"],
    mask: Bool[Tensor, "b t"],
    clip_low: float = 3e-4,
    clip_high: float = 4e-4,
) -> Float[Tensor, "b t"]:
    """Group Sequence Policy Optimisation: `-min(s * A, clip(s) * A)`, s the sequence ratio. (arXiv 2507.18071, Eq. 5)

    Per-token loss, the same at every token of a sequence and not reduced, so that the paper's mean over sequences is
    `sequence_mean`; 0 outside `usable_tokens`. The clip range is far narrower than GRPO's, since s is a mean.
    """
    ratio = sequence_ratio(logprobs, old_logprobs, mask)
    loss = clipped_loss(ratio, advantages, *clip_bounds(clip_low, clip_high))
    return loss[:, None].expand_as(mask).masked_fill(~usable_tokens(logprobs, old_logprobs, mask), 0.0)
