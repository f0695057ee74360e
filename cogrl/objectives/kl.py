"""Per-token estimators of KL(policy || reference) from sampled tokens. (http://joschu.net/blog/kl-approx.html)

None is reduced; all are 0 where the mask is False or the log-ratio to the reference is not finite. As *values*, k1 and
k3 are unbiased. As *losses*, differentiated through the sampled token, only k2 has the gradient of this KL on-policy:
k1's has mean zero, k3's is the forward KL's.
"""

from jaxtyping import Bool, Float
from torch import Tensor

from cogrl.objectives.ratio import LOG_RATIO_LIMIT, usable_log_ratio


def k1(
    logprobs: Float[Tensor, "b t"], ref_logprobs: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]
) -> Float[Tensor, "b t"]:
    """`log(policy / reference)`: unbiased, high variance, negative on single tokens."""
    return usable_log_ratio(logprobs, ref_logprobs, mask)


def k2(
    logprobs: Float[Tensor, "b t"], ref_logprobs: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]
) -> Float[Tensor, "b t"]:
    """`log(policy / reference)^2 / 2`: biased, low variance, right gradient on-policy."""
    return k1(logprobs, ref_logprobs, mask).square() / 2


def k3(
    logprobs: Float[Tensor, "b t"], ref_logprobs: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]
) -> Float[Tensor, "b t"]:
    """`x - 1 - log x` with `x = reference / policy`: unbiased, low variance, never negative; GRPO's choice.

    The log-ratio is clamped to +-20 before the exponential; beyond it the gradient is zero.
    """
    log_ratio = (-k1(logprobs, ref_logprobs, mask)).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return log_ratio.expm1() - log_ratio
