"""The plain policy gradient, without ratio, gate or clip. Reductions are in `reduce`."""

from jaxtyping import Bool, Float
from torch import Tensor


def reinforce(
    logprobs: Float[Tensor, "b t"], advantages: Float[Tensor, " b"], mask: Bool[Tensor, "b t"]
) -> Float[Tensor, "b t"]:
    """REINFORCE: `-advantage * logprob` per token, not reduced. (Williams 1992, https://doi.org/10.1007/BF00992696)

    Right only on-policy: with several updates per rollout use `sapo` or `grpo`. 0 where the mask is False
    or the log-probability is not finite.
    """
    return -advantages[:, None] * logprobs.masked_fill(~(mask & logprobs.isfinite()), 0.0)
