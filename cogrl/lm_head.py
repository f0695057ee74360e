"""Hidden states x vocabulary -> log-probabilities and entropies of given tokens; the door to `cogrl_kernels`."""

from dataclasses import dataclass

from cogrl_kernels.linear_logprob import Impl, linear_logprob
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class TokenLogprobs:
    """Of each target token under the policy, both float32 (float64 for float64 input) and 0 where the mask is False.

    `entropy` is that of the whole next-token distribution, in nats; both carry gradients.
    """

    logprobs: Float[Tensor, "b t"]
    entropy: Float[Tensor, "b t"]


def token_logprobs(
    hidden: Float[Tensor, "b t d"],
    weight: Float[Tensor, "v d"],
    targets: Int[Tensor, "b t"],
    mask: Bool[Tensor, "b t"],
    temperature: int | float | Float[Tensor, ""] = 1.0,
    bias: Float[Tensor, " v"] | None = None,
    softcap: float | None = None,
    impl: Impl = "auto",
) -> TokenLogprobs:
    """`log_softmax(cap(hidden @ weight.T + bias) / temperature)` at `targets`, without the `(b, t, v)` logits.

    `hidden[:, i]` must be the state that *predicts* `targets[:, i]`; no shift happens here. Only masked-in tokens are
    computed, so ids under the mask may be anything (padding, -100). With an all-False mask the result is 0 and still
    part of the graph, so that sharded training finds a gradient for every parameter. `temperature` is the sampling
    temperature: rollouts and training must use the same. Raises ValueError on masked-in ids outside the vocabulary.
    """
    rows = mask.flatten().nonzero().squeeze(1)
    out = linear_logprob(
        hidden.flatten(0, 1),
        weight,
        targets.flatten()[rows],
        rows=rows,
        bias=bias,
        temperature=temperature,
        softcap=softcap,
        impl=impl,
    )
    blank = out.logprobs.new_zeros(mask.numel())
    logprobs, entropy = (blank.index_copy(0, rows, value).view_as(mask) for value in (out.logprobs, out.entropy))
    return TokenLogprobs(logprobs, entropy)
