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
from cogrl_kernels.head_checks import check_head, check_values, per_target
from cogrl_kernels.head_chunks import (
    accumulate_,
    compute_dtype,
    fill_logits,
    operand_dtype,
    padded,
    parts,
    product,
    training_rows,
)
from cogrl_kernels.head_modules import best_scoring, rows_of
from cogrl_kernels.linear_logprob import Impl, linear_logprob
from cogrl_kernels.policy_checks import check_policy_inputs
from cogrl_kernels.policy_loss import PolicyLossConfig, PolicyMetrics, policy_loss
from cogrl_kernels.policy_tokens import Number, PolicyTokens, chunk_loss, policy_tokens
from cogrl_kernels.row_ops import finish
from cogrl_kernels.vocab_shard import VocabShard, merge, sum_over_ranks_
from cogrl_kernels.with_gradients import with_gradients


@dataclass(frozen=True)
class LinearPolicyLossOutput:
    """The loss, a scalar with gradients; detached: its telemetry and, per token (n,), log-probability and entropy."""

    loss: Tensor
    metrics: PolicyMetrics
    logprobs: Tensor
    entropy: Tensor


@torch.compiler.disable
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
    num_tokens: Number | None = None,
    num_rollouts: Number | None = None,
    shard: VocabShard | None = None,
    impl: Impl = "auto",
) -> LinearPolicyLossOutput:
    """The policy loss of `n` packed tokens of `s` rollouts, with gradients to hidden (r, d), weight (v, d), bias (v,).

    Arguments up to `softcap` and `shard` are those of `linear_logprob`, the others those of `policy_loss`. What takes
    no gradient is not computed: a frozen head saves one product of three, and tokens that are masked out, or have zero
    advantage and no KL or entropy term, are scored and no more.

    "chunked" holds a chunk of the logits; "triton" the same with one kernel for everything between the products;
    "reference" all of them. A loss of whole rollouts (gspo) scores first and makes the logits again in backward.
    Can be backpropagated several times (`retain_graph`), not twice differentiated. Raises ValueError where
    `linear_logprob` and `policy_loss` do.
    """
    widest = max(hidden, weight, key=lambda x: x.dtype.itemsize)
    implementations = {name: partial(_one_pass, impl=name) for name in ("triton", "chunked")}
    implementations["reference"] = partial(_two_pass, impl="reference")
    function = choose("linear_policy_loss", impl, implementations, fastest(widest, "chunked"), like=widest)
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
    head = {"rows": rows, "bias": bias, "temperature": temperature, "softcap": softcap, "shard": shard}
    given = {"mask": mask, "routes": routes} | against | counts
    return function(hidden, weight, targets, advantages, cu_seqlens, config, head, given)


def _two_pass(hidden, weight, targets, advantages, cu_seqlens, config, head, given, *, impl) -> LinearPolicyLossOutput:
    scored = linear_logprob(hidden, weight, targets, **head, impl=impl)
    loss_impl = "reference" if impl == "reference" else "auto"
    out = policy_loss(
        scored.logprobs, advantages, cu_seqlens, config=config, entropy=scored.entropy, **given, impl=loss_impl
    )
    return LinearPolicyLossOutput(out.loss, out.metrics, scored.logprobs.detach(), scored.entropy.detach())


def _one_pass(hidden, weight, targets, advantages, cu_seqlens, config, head, given, *, impl) -> LinearPolicyLossOutput:
    shard = head["shard"]
    vocabulary = len(weight) if shard is None else shard.vocabulary
    check_values(hidden, targets, head["rows"], head["temperature"], vocabulary)
    leaves = (hidden, weight, head["bias"])
    wanted = [x is not None and x.requires_grad and torch.is_grad_enabled() for x in leaves]
    with torch.no_grad(), torch.autocast(hidden.device.type, enabled=False):
        tokens = policy_tokens(head["temperature"], advantages, cu_seqlens, config, **given)
        logprobs, entropy, grads = _score_and_differentiate(
            hidden, weight, targets.long(), tokens, config, **head, wanted=wanted, impl=impl
        )
        out = policy_loss(logprobs, advantages, cu_seqlens, config=config, entropy=entropy, **given)
    return LinearPolicyLossOutput(with_gradients(out.loss, grads, leaves), out.metrics, logprobs, entropy)


def _score_and_differentiate(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    tokens: PolicyTokens,
    config: PolicyLossConfig,
    *,
    rows: Tensor | None,
    bias: Tensor | None,
    temperature: Tensor,
    softcap: float | None,
    shard: VocabShard | None,
    wanted: list[bool],
    impl: str,
) -> tuple[Tensor, Tensor, list[Tensor | None]]:
    """(logprobs, entropy, gradients of hidden, weight and bias): those `wanted`, in the dtype of the computation."""
    dtype, multiplied = compute_dtype(hidden, weight), operand_dtype(hidden, weight)
    rows = torch.arange(len(targets), device=hidden.device) if rows is None else rows.long()
    grad_hidden, grad_weight, grad_bias = grads = [
        torch.zeros_like(x, dtype=dtype) if want else None
        for x, want in zip((hidden, weight, bias), wanted, strict=True)
    ]
    group = None if shard is None else shard.group_name
    if shard is not None:
        # rows beyond the vocabulary are padding
        targets, size = targets - shard.start, shard.vocabulary - shard.start
        weight, bias = weight[:size], None if bias is None else bias[:size]
        grad_weight, grad_bias = (None if x is None else x[:size] for x in (grad_weight, grad_bias))
    logprobs, entropy = torch.zeros_like(temperature), torch.zeros_like(temperature)
    trains = _trains(tokens, config) if any(wanted) else torch.zeros_like(tokens.mask)
    idle, active = (~trains).nonzero().squeeze(1), trains.nonzero().squeeze(1)
    if len(idle):
        module = best_scoring(impl, hidden, weight)
        given = hidden, weight, targets[idle], rows[idle], bias, temperature[idle], softcap
        scores = module.score(*given) if group is None else finish(*merge(module.score_partials(*given), group))
        logprobs[idle], entropy[idle] = scores[:2]
    step = training_rows(len(weight), hidden.is_cuda)
    if len(active):
        weight = weight.to(multiplied)
        buffer = None if hidden.is_cuda else weight.new_empty(step, len(weight), dtype=dtype)
    for p in parts(len(active), step):
        index = active[p]
        count, row_ops = len(index), rows_of(impl)
        h = padded(hidden[rows[index]].to(multiplied), step)
        target, heat = padded(targets[index], step), padded(temperature[index], step, 1)
        z = fill_logits(h, weight, bias, dtype, out=buffer)
        stats = (
            row_ops.row_stats(z, target, heat, softcap)
            if group is None
            else finish(*merge(row_ops.row_partials(z, target, heat, softcap), group))
        )
        logprobs[index], entropy[index], lse = (x[:count] for x in stats[:3])
        by_logprob, by_entropy = _coefficients(logprobs[index], entropy[index], tokens.part(index), config)
        dz = row_ops.row_grad_(
            z[:count],
            target[:count],
            lse,
            entropy[index],
            by_logprob,
            by_entropy,
            heat[:count],
            softcap,
            multiplied,
        )
        if grad_hidden is not None:
            grad_hidden.index_add_(0, rows[index], product(dz, weight, dtype))
        if grad_weight is not None:
            # a row without a gradient may hold NaN, which zero does not silence
            dead = (by_logprob == 0) & (by_entropy == 0 if by_entropy is not None else True)
            accumulate_(grad_weight, dz.T, h[:count].masked_fill(dead[:, None], 0))
        if grad_bias is not None:
            grad_bias += dz.sum(0, dtype=dtype)
    if grad_hidden is not None and group is not None:
        sum_over_ranks_(grad_hidden, group)
    return logprobs, entropy, grads


def _trains(tokens: PolicyTokens, config: PolicyLossConfig) -> Tensor:
    """Which tokens can have a gradient, as far as is known before their log-probabilities are."""
    trains = tokens.mask & (tokens.weights != 0)
    return trains if config.kl_coef or config.entropy_coef else trains & (tokens.advantages != 0)


def _coefficients(
    logprobs: Tensor, entropy: Tensor, tokens: PolicyTokens, config: PolicyLossConfig
) -> tuple[Tensor, Tensor | None]:
    """d loss / d logprobs and d loss / d entropy of these tokens; None where the loss has no entropy term."""
    inputs = [x.detach().requires_grad_() for x in ((logprobs, entropy) if config.entropy_coef else (logprobs,))]
    with torch.enable_grad():
        loss = chunk_loss(inputs[0], inputs[1] if config.entropy_coef else entropy, tokens, config)
        grads = torch.autograd.grad(loss, inputs)
    return grads[0], grads[1] if config.entropy_coef else None
