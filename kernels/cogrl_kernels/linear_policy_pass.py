"""Scores and gradients of a policy loss in one pass over the logits, chunk of tokens by chunk.

While a chunk of logits is there, the loss of its tokens is differentiated (by autograd, on vectors of the chunk's
length), the logits are overwritten with their gradient and multiplied into those of hidden states and weight.
"""

import torch
from torch import Tensor

from cogrl_kernels.forward_gradients import zero_gradients
from cogrl_kernels.head_chunks import (
    accumulate_,
    compute_dtype,
    fill_logits,
    gradient_dtype,
    operand_dtype,
    padded,
    parts,
    product,
    rounded,
    training_rows,
)
from cogrl_kernels.head_inputs import HeadInputs
from cogrl_kernels.head_modules import best_scoring, rows_of
from cogrl_kernels.policy_config import PolicyLossConfig
from cogrl_kernels.policy_tokens import PolicyTokens, chunk_loss
from cogrl_kernels.row_ops import finish
from cogrl_kernels.vocab_shard import merge, real_rows, sum_over_ranks_


def score_and_differentiate(
    head: HeadInputs,
    tokens: PolicyTokens,
    trains: Tensor | None,
    config: PolicyLossConfig,
    autocast: torch.dtype | None,
    impl: str,
    wanted: list[bool],
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """(logprobs, entropy, gradients of hidden, weight and bias): those `wanted`, in the dtype of the computation.

    `trains` (n,), bool on the CPU, says which tokens can have a gradient; None: the device is asked.
    """
    dtype = compute_dtype(head.hidden, head.weight)
    grads = zero_gradients((head.hidden, head.weight, head.bias), wanted, dtype)
    grad_hidden, *of_head = grads
    grad_weight, grad_bias = real_rows(*of_head, head.start, head.vocabulary)
    of_shard, group, temperature, softcap = head.of_shard(), head.group, head.temperature, head.softcap
    targets, bias = of_shard.targets, of_shard.bias
    rows = torch.arange(len(targets), device=targets.device) if head.rows is None else head.rows
    hidden, weight = rounded(of_shard.hidden, autocast), rounded(of_shard.weight, autocast)
    multiplied = operand_dtype(hidden, weight)
    differentiated = gradient_dtype(multiplied)
    wants_hidden, wants_weight, wants_bias = wanted
    logprobs, entropy = torch.zeros_like(temperature), torch.zeros_like(temperature)
    if not any(wanted):
        trains = torch.zeros(len(targets), dtype=torch.bool)
    elif trains is None:
        trains = _trains(tokens, config)
    idle, active = (x.nonzero().squeeze(1).to(targets.device, non_blocking=True) for x in (~trains, trains))
    if len(idle):
        module = best_scoring(impl, hidden, weight)
        given = hidden, weight, targets[idle], rows[idle], bias, temperature[idle], softcap
        scores = module.score(*given) if group is None else finish(*merge(module.score_partials(*given), group))
        logprobs[idle], entropy[idle] = scores[:2]
    step = training_rows(len(weight), hidden.is_cuda)
    if len(active):
        weight = weight.to(multiplied)
        backward_weight = weight.to(differentiated)
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
            differentiated,
        )
        if wants_hidden:
            grad_hidden.index_add_(0, rows[index], product(dz, backward_weight, dtype))
        if wants_weight:
            # a row without a gradient may hold NaN, which zero does not silence
            dead = (by_logprob == 0) & (by_entropy == 0 if by_entropy is not None else True)
            states = h[:count].to(differentiated).masked_fill(dead[:, None], 0)
            accumulate_(grad_weight, dz.T, states)
        if wants_bias:
            grad_bias += dz.sum(0, dtype=dtype)
    if wants_hidden and group is not None:
        sum_over_ranks_(grad_hidden, group)
    return logprobs, entropy, grads


def _trains(tokens: PolicyTokens, config: PolicyLossConfig) -> Tensor:
    """Which tokens can have a gradient, as far as is known before their log-probabilities are."""
    trains = tokens.mask & (tokens.weights != 0)
    return trains if config.trains_without_advantage else trains & (tokens.advantages != 0)


def _coefficients(
    logprobs: Tensor, entropy: Tensor, tokens: PolicyTokens, config: PolicyLossConfig
) -> tuple[Tensor, Tensor | None]:
    """d loss / d logprobs and d loss / d entropy of these tokens; None where the loss has no entropy term."""
    inputs = [x.detach().requires_grad_() for x in ((logprobs, entropy) if config.entropy_coef else (logprobs,))]
    # an operator runs below autograd; leaving inference mode, on or not, is the public way to have it back
    with torch.inference_mode(False):
        loss = chunk_loss(inputs[0], inputs[1] if config.entropy_coef else entropy, tokens, config)
        grads = torch.autograd.grad(loss, inputs)
    return grads[0], grads[1] if config.entropy_coef else None
