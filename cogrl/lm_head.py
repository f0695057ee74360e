"""Hidden states x vocabulary -> log-probabilities and entropies of given tokens; the door to `cogrl_kernels`."""

from dataclasses import dataclass

from cogrl_kernels.linear_logprob import Impl, linear_logprob
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class TokenStates:
    """Hidden states, and for each of `m` tokens the row of the state that *predicts* it (rows may repeat).

    The tokens are the masked-in ones of a `(b, t)` batch of completions, in row-major order.
    """

    hidden: Float[Tensor, "r d"]
    rows: Int[Tensor, " m"]


@dataclass(frozen=True)
class TokenLogprobs:
    """Of each target token under the policy, both float32 (float64 for float64 input) and 0 where the mask is False.

    `entropy` is that of the whole next-token distribution, in nats; both carry gradients.
    """

    logprobs: Float[Tensor, "b t"]
    entropy: Float[Tensor, "b t"]


def token_logprobs(
    states: TokenStates,
    weight: Float[Tensor, "v d"],
    targets: Int[Tensor, "b t"],
    mask: Bool[Tensor, "b t"],
    temperature: int | float | Float[Tensor, ""] = 1.0,
    bias: Float[Tensor, " v"] | None = None,
    softcap: float | None = None,
    impl: Impl = "auto",
) -> TokenLogprobs:
    """`log_softmax(cap(hidden @ weight.T + bias) / temperature)` at `targets`, without the `(b, t, v)` logits.

    `states` must be of exactly the masked-in tokens; no shift happens here. Only those are computed, so ids under the
    mask may be anything (padding, -100). With an all-False mask the result is 0 and still part of the graph, so that
    sharded training finds a gradient for every parameter. `temperature` is the sampling temperature: rollouts and
    training must use the same. Raises ValueError on masked-in ids outside the vocabulary.
    """
    where = mask.flatten().nonzero().squeeze(1)
    out = linear_logprob(
        states.hidden,
        weight,
        targets.flatten()[where],
        rows=states.rows,
        bias=bias,
        temperature=temperature,
        softcap=softcap,
        impl=impl,
    )
    blank = out.logprobs.new_zeros(mask.numel())
    logprobs, entropy = (blank.index_copy(0, where, value).view_as(mask) for value in (out.logprobs, out.entropy))
    return TokenLogprobs(logprobs, entropy)
