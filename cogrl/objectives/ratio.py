"""The importance ratio that every off-policy objective shares. How it is gated or clipped is up to each objective."""

from jaxtyping import Bool, Float, Int
from torch import Tensor

LOG_RATIO_LIMIT = 20.0
"""exp(20) = 4.9e8: far beyond any useful ratio, far below the overflow of float32 (88)."""


def importance_ratio(
    logprobs: Float[Tensor, "b t"], old_logprobs: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]
) -> Float[Tensor, "b t"]:
    """Policy over old policy, per token: `exp(logprobs - old_logprobs)`; 1 outside `usable_tokens`.

    The log-ratio is masked and clamped to +-20 *before* the exponential, so masked, bad and clamped tokens have zero
    gradient instead of `0 * inf = NaN`.
    """
    log_ratio = usable_log_ratio(logprobs, old_logprobs, mask)
    return log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def sequence_ratio(
    logprobs: Float[Tensor, "b t"], old_logprobs: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]
) -> Float[Tensor, " b"]:
    """The geometric mean of the ratios of a sequence, over its usable tokens. (GSPO, arXiv 2507.18071, Eq. 7)

    The mean log-ratio is clamped to +-20; a sequence without usable tokens has 1.
    """
    tokens = usable_tokens(logprobs, old_logprobs, mask).sum(1).clamp(min=1)
    mean = usable_log_ratio(logprobs, old_logprobs, mask).sum(1) / tokens
    return mean.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def usable_log_ratio(
    logprobs: Float[Tensor, "b t"], old_logprobs: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]
) -> Float[Tensor, "b t"]:
    """`logprobs - old_logprobs`, 0 and without gradient outside `usable_tokens`; the old policy gets no gradient."""
    usable = usable_tokens(logprobs, old_logprobs, mask)
    return (logprobs - old_logprobs.detach()).masked_fill(~usable, 0.0)


def usable_tokens(
    logprobs: Float[Tensor, "b t"], old_logprobs: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]
) -> Bool[Tensor, "b t"]:
    """Masked in, with a log-ratio that is a number.

    A token whose log-ratio is NaN or infinite has loss and gradient 0 in every objective and stays in the denominator.
    It is no secret: see `bad_tokens`.
    """
    return mask & (logprobs - old_logprobs).detach().isfinite()


def bad_tokens(
    logprobs: Float[Tensor, "b t"], old_logprobs: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]
) -> Int[Tensor, ""]:
    """How many masked-in tokens are not usable. Stays on the device."""
    return (mask & ~usable_tokens(logprobs, old_logprobs, mask)).sum()
