"""From a per-token loss `(b, t)` to a scalar. The policy objectives are averaged where they are made, in the kernels.

It takes the GLOBAL count from its caller: with it (over micro-batches and ranks) the sum over any split of the batch
equals the whole batch. Where gradients are *averaged* over ranks, as DDP does, pass `count / world_size`.
"""

from jaxtyping import Bool, Float, Shaped
from torch import Tensor

Count = int | float | Shaped[Tensor, ""]


def sequence_mean(loss: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"], rollouts: Count) -> Float[Tensor, ""]:
    """Sum over sequences of their token mean, over `rollouts`: GRPO's and SAPO's. (arXiv 2511.20347, Eq. 5)

    A sequence without a masked-in token contributes 0 and still counts among the rollouts.
    """
    tokens = mask.sum(1).clamp(min=1)
    return _over((loss.masked_fill(~mask, 0.0).sum(1) / tokens).sum(), rollouts)


def _over(total: Float[Tensor, ""], count: Count) -> Float[Tensor, ""]:
    # nothing counted: 0 that still touches the parameters, not 0 / 0
    if isinstance(count, Tensor):
        some = count > 0
        return total / count.masked_fill(~some, 1).to(total) * some.to(total)
    if count < 0:
        raise ValueError(f"count={count} of rollouts is negative")
    return total / count if count else total * 0.0
