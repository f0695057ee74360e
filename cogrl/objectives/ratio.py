"""The importance ratio that every off-policy objective shares. How it is gated or clipped is up to each objective."""

from jaxtyping import Bool, Float, Int
from torch import Tensor

LOG_RATIO_LIMIT = 20.0
"""exp(20) = 4.9e8: far beyond any useful ratio, far below the overflow of float32 (88)."""


def importance_ratio(
    logprobs: Float[Tensor, "b t"], old_logprobs: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]
) -> Float[Tensor, "b t"]:
    """Policy over old policy, per token: `exp(logprobs - old_logprobs)`.

    1 where the mask is False. The log-ratio is masked and clamped to +-20 *before* the exponential, so masked and
    clamped tokens have zero gradient instead of `0 * inf = NaN`. A NaN on a masked-in token stays NaN: a broken policy
    must not train in silence.
    """
    log_ratio = (logprobs - old_logprobs.detach()).masked_fill(~mask, 0.0)
    return log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def bad_tokens(
    logprobs: Float[Tensor, "b t"], old_logprobs: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]
) -> Int[Tensor, ""]:
    """How many masked-in tokens have a log-ratio that is NaN or infinite. Stays on the device."""
    return ((logprobs - old_logprobs).detach().isfinite().logical_not() & mask).sum()
