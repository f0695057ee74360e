"""Hidden states x vocabulary -> log-probabilities, entropies, policy loss; the door to `cogrl_kernels`."""

from dataclasses import dataclass

import torch
from cogrl_kernels.head_chunks import (
    autocast_dtype,
    operand_dtype,
    product,
    rounded,
    training_rows,
    without_autocast,
)
from cogrl_kernels.linear_kl import Direction, LinearKlOutput, linear_kl
from cogrl_kernels.linear_logprob import Impl, linear_logprob
from cogrl_kernels.linear_policy_loss import LinearPolicyLossOutput, linear_policy_loss
from cogrl_kernels.policy_config import Kind, LossSettings
from cogrl_kernels.policy_loss import PolicyLossConfig, PolicyMetrics
from cogrl_kernels.policy_metrics import merge
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import linear, pad

__all__ = [
    "Direction",
    "Kind",
    "LinearPolicyLossOutput",
    "LossSettings",
    "PolicyLossConfig",
    "PolicyMetrics",
    "TokenLogprobs",
    "TokenStates",
    "head_operand",
    "logits_bytes",
    "merge",
    "next_token_logits",
    "policy_loss",
    "sequence_kl",
    "token_logprobs",
]


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


def head_operand(weight: Float[Tensor, "v d"]) -> Float[Tensor, "v d"]:
    """The head as it is multiplied: float32, on a GPU also 16-bit; under autocast rounded to its dtype."""
    weight = rounded(weight, autocast_dtype(weight))
    return weight if weight.is_cuda and weight.dtype.itemsize == 2 else weight.float()


def logits_bytes(tokens: int, vocabulary: int, on_gpu: bool) -> int:
    """What the logits of a loss of so many tokens and their gradient take at once, both in float32."""
    return 8 * vocabulary * min(tokens, training_rows(vocabulary, on_gpu))


def next_token_logits(
    hidden: Float[Tensor, "b d"], weight: Float[Tensor, "v d"], bias: Float[Tensor, " v"]
) -> Float[Tensor, "b v"]:
    """float32 logits of one position, under autocast too: those that `token_logprobs` scores.

    To score many positions, pass the `head_operand` of the weight: it is then not made each time.
    """
    hidden, weight = rounded(hidden, autocast_dtype(hidden)), head_operand(weight)
    with without_autocast(hidden):
        if weight.dtype == torch.float32:
            return linear(hidden.float(), weight, bias)
        dtype = operand_dtype(hidden, weight)
        return product(hidden.to(dtype), weight.to(dtype).T, torch.float32).add_(bias)


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
    training must use the same. A mask on the CPU spares a wait for the device. Raises ValueError on masked-in ids
    outside the vocabulary.
    """
    where = mask.flatten().nonzero().squeeze(1).to(targets.device, non_blocking=True)
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


def policy_loss(
    states: TokenStates,
    weight: Float[Tensor, "v d"],
    targets: Int[Tensor, "b t"],
    mask: Bool[Tensor, "b t"],
    old_logprobs: Float[Tensor, "b t"],
    advantages: Float[Tensor, " b"] | Float[Tensor, "b t"],
    objective: PolicyLossConfig,
    routes: Int[Tensor, " b"] | None = None,
    temperature: int | float | Float[Tensor, ""] = 1.0,
    bias: Float[Tensor, " v"] | None = None,
    softcap: float | None = None,
    num_tokens: int | float | None = None,
    ref_logprobs: Float[Tensor, "b t"] | None = None,
    rollout_logprobs: Float[Tensor, "b t"] | None = None,
    impl: Impl = "auto",
) -> LinearPolicyLossOutput:
    """The objective of `b` rollouts straight from the hidden states, without log-probabilities in the graph.

    Arguments as in `token_logprobs`; `old_logprobs` are those of the policy before its first update on these rollouts,
    `advantages` one a rollout or one a token, `routes` the row of each rollout in the telemetry. An objective with
    `kl_coef` needs `ref_logprobs`, one with `is_cap` needs `rollout_logprobs`, those of the engine that sampled. The
    denominator counts these `b` rollouts: Lightning averages over micro-batches and ranks, which have to be of one
    size. Tokens differ from one to the next, so an objective that averages over them takes `num_tokens`, the mean of a
    micro-batch. Tokens come out packed, (m,). With `mask` and `advantages` on the CPU nothing waits for the device.
    """
    device = targets.device
    where = mask.flatten().nonzero().squeeze(1).to(device, non_blocking=True)
    each_token = advantages.ndim == 2
    if each_token:
        advantages = advantages[mask.to(advantages.device)]
    trains = None
    if objective.trains_without_advantage:
        trains = torch.ones(len(where), dtype=torch.bool)
    elif mask.device == advantages.device == torch.device("cpu"):
        trains = advantages != 0
        trains = trains if each_token else trains.repeat_interleave(mask.sum(1))
    old, ref, rollout = (
        None if x is None else x.flatten()[where] for x in (old_logprobs, ref_logprobs, rollout_logprobs)
    )
    return linear_policy_loss(
        states.hidden,
        weight,
        targets.flatten()[where],
        advantages.to(device, non_blocking=True),
        pad(mask.sum(1).cumsum(0), (1, 0)).to(device, non_blocking=True),
        config=objective,
        rows=states.rows,
        bias=bias,
        temperature=temperature,
        softcap=softcap,
        old_logprobs=old,
        ref_logprobs=ref,
        rollout_logprobs=rollout,
        routes=routes,
        trains=trains,
        num_tokens=num_tokens if objective.denominator == "token_mean" else None,
        impl=impl,
    )


def sequence_kl(
    student: TokenStates,
    weight: Float[Tensor, "v d"],
    teacher: TokenStates,
    teacher_weight: Float[Tensor, "v e"],
    mask: Bool[Tensor, "b t"],
    temperature: int | float = 1.0,
    direction: Direction = "forward",
    bias: Float[Tensor, " v"] | None = None,
    impl: Impl = "auto",
) -> LinearKlOutput:
    """KL between the next-token distributions of student and teacher: mean over a row's tokens, then over the rows.

    `mask` says which tokens of the student's `(b, t)` completions the states are of; the teacher's are of the same
    tokens in the same order, in whatever context it read them. "forward" is KL(teacher || student). Both logits are
    divided by `temperature`; no factor T^2. A row without tokens counts among the rows and adds nothing. There is no
    Triton form: `impl` "reference" makes all logits, any other a chunk of them at a time.
    """
    counts = mask.sum(1)
    weights = torch.repeat_interleave(1.0 / (counts.clamp(min=1) * len(mask)), counts)
    weights = weights.to(student.hidden.device, non_blocking=True)
    return linear_kl(
        student.hidden[student.rows],
        weight,
        teacher.hidden[teacher.rows],
        teacher_weight,
        weights,
        bias=bias,
        temperature=temperature,
        direction=direction,
        impl="reference" if impl == "reference" else "auto",
    )
