"""From hidden states to the policy loss in one pass: the gradient is made in the forward, chunk of tokens by chunk.

In PyTorch: `policy_loss(*linear_logprob(hidden, weight, targets), advantages, ...)`. While a chunk of logits is there,
the loss of its tokens is differentiated (by autograd, on vectors of the chunk's length), the logits are overwritten
with their gradient and multiplied into those of hidden states and weight: three matrix products where recomputing in
backward takes four. Backward multiplies by the upstream gradient.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from cogrl_kernels.dispatch import choose, fastest
from cogrl_kernels.forward_gradients import takes_gradient
from cogrl_kernels.head_checks import check_head, per_target
from cogrl_kernels.head_chunks import autocast_dtype, compute_dtype
from cogrl_kernels.linear_logprob import Impl, linear_logprob
from cogrl_kernels.linear_policy_op import linear_policy_loss_op
from cogrl_kernels.policy_arguments import flat
from cogrl_kernels.policy_checks import check_policy_inputs, refuse_own_in_triton
from cogrl_kernels.policy_loss import PolicyLossConfig, PolicyMetrics, policy_loss
from cogrl_kernels.policy_tokens import Number
from cogrl_kernels.vocab_shard import VocabShard, span


@dataclass(frozen=True)
class LinearPolicyLossOutput:
    """The loss, a scalar with gradients; detached: its telemetry and, per token (n,), log-probability and entropy."""

    loss: Tensor
    metrics: PolicyMetrics
    logprobs: Tensor
    entropy: Tensor


def linear_policy_loss(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    advantages: Tensor,
    cu_seqlens: Tensor,
    *,
    config: PolicyLossConfig,
    rows: Tensor | None = None,
    bias: Tensor | None = None,
    temperature: float | Tensor = 1.0,
    softcap: float | None = None,
    old_logprobs: Tensor | None = None,
    ref_logprobs: Tensor | None = None,
    rollout_logprobs: Tensor | None = None,
    mask: Tensor | None = None,
    routes: Tensor | None = None,
    trains: Tensor | None = None,
    num_tokens: Number | None = None,
    num_rollouts: Number | None = None,
    shard: VocabShard | None = None,
    impl: Impl = "auto",
) -> LinearPolicyLossOutput:
    """The policy loss of `n` packed tokens of `s` rollouts, with gradients to hidden (r, d), weight (v, d), bias (v,).

    Arguments up to `softcap` and `shard` are those of `linear_logprob`, the others those of `policy_loss`. What takes
    no gradient is not computed: a frozen head saves one product of three, and tokens that are masked out, or have zero
    advantage and no KL or entropy term, are scored and no more. Which these are is read from the device, unless the
    caller knows it: `trains` (n,), bool on the CPU, True on all others.

    "chunked" holds a chunk of the logits; "triton" the same with one kernel for everything between the products;
    "reference" all of them. A loss of whole rollouts (gspo) scores first and makes the logits again in backward.
    Can be backpropagated several times (`retain_graph`), not twice differentiated. One node under `torch.compile`,
    which compiles again for a new number in the config or the counts, not for a new tensor. Raises ValueError where
    `linear_logprob` and `policy_loss` do.
    """
    widest = weight if weight.dtype.itemsize > hidden.dtype.itemsize else hidden
    implementations = {name: partial(_one_pass, impl=name) for name in ("triton", "chunked")}
    implementations["reference"] = partial(_two_pass, impl="reference")
    refuse_own_in_triton("linear_policy_loss", impl, config)
    auto = "chunked" if config.is_own else fastest(widest, "chunked")
    function = choose("linear_policy_loss", impl, implementations, auto, like=widest)
    if config.of_sequences:
        function = partial(_two_pass, impl=impl)
    check_head(hidden, weight, targets, rows, bias, temperature, softcap, shard)
    temperature = per_target(temperature, targets, compute_dtype(hidden, weight))
    against = {"old_logprobs": old_logprobs, "ref_logprobs": ref_logprobs, "rollout_logprobs": rollout_logprobs}
    counts = {"num_tokens": num_tokens, "num_rollouts": num_rollouts}
    # the temperatures stand for what is not computed yet: their shape, dtype and device are those of the results
    check_policy_inputs(
        temperature,
        advantages,
        cu_seqlens,
        config,
        per_token=against | {"entropy": temperature},
        mask=mask,
        routes=routes,
        counts=counts,
    )
    if trains is not None and (trains.shape != targets.shape or trains.dtype != torch.bool or trains.is_cuda):
        raise ValueError(
            f"trains is {tuple(trains.shape)} {trains.dtype} on {trains.device}; need one bool a target, on the CPU"
        )
    head = {"rows": rows, "bias": bias, "temperature": temperature, "softcap": softcap, "shard": shard}
    given = {"mask": mask, "routes": routes} | against | counts
    return function(hidden, weight, targets, advantages, cu_seqlens, config, head, given, trains)


def _two_pass(
    hidden, weight, targets, advantages, cu_seqlens, config, head, given, trains, *, impl
) -> LinearPolicyLossOutput:
    scored = linear_logprob(hidden, weight, targets, **head, impl=impl)
    loss_impl = "reference" if impl == "reference" else "auto"
    out = policy_loss(
        scored.logprobs, advantages, cu_seqlens, config=config, entropy=scored.entropy, **given, impl=loss_impl
    )
    return LinearPolicyLossOutput(out.loss, out.metrics, scored.logprobs.detach(), scored.entropy.detach())


def _one_pass(
    hidden, weight, targets, advantages, cu_seqlens, config, head, given, trains, *, impl
) -> LinearPolicyLossOutput:
    count = given["num_tokens" if config.denominator == "token_mean" else "num_rollouts"]
    loss, table, logprobs, entropy, *_ = linear_policy_loss_op(
        hidden,
        weight,
        head["bias"],
        targets.long(),
        None if head["rows"] is None else head["rows"].long(),
        head["temperature"],
        head["softcap"],
        *span(head["shard"], weight),
        advantages,
        cu_seqlens,
        given["old_logprobs"],
        given["ref_logprobs"],
        given["rollout_logprobs"],
        given["mask"],
        given["routes"],
        trains,
        *flat(config, count),
        autocast_dtype(hidden),
        impl,
        takes_gradient(hidden, weight, head["bias"]),
    )
    return LinearPolicyLossOutput(loss, PolicyMetrics(table, config.kl_estimator), logprobs, entropy)
