"""Gradients of a head whose logits are gone: blocks of them are made again, turned into their gradient, multiplied."""

from collections.abc import Callable

import torch
from torch import Tensor

from cogrl_kernels.head_chunks import (
    accumulate_,
    backward_block,
    compute_dtype,
    fill_logits,
    gradient_dtype,
    operand_dtype,
    parts,
    rounded,
)
from cogrl_kernels.head_inputs import HeadInputs


def head_gradients(
    head: HeadInputs,
    entropy: Tensor,
    lse: Tensor,
    grad_logprobs: Tensor,
    grad_entropy: Tensor | None,
    row_grad_: Callable,
    autocast: torch.dtype | None,
    wanted: list[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of hidden (r, d), weight (v, d) and bias (v,), None where not wanted.

    `wanted` says which, in that order; that of the weight is in the weight's dtype, the others in that of the
    computation. Blocks are of the vocabulary, so that those of the weight are finished one after another and only the
    smaller ones of the hidden states are summed up. `head` is that `of_shard`.
    """
    hidden, weight, bias, targets, rows = head.hidden, head.weight, head.bias, head.targets, head.rows
    wants_hidden, wants_weight, wants_bias = wanted
    grad_weight = torch.zeros_like(weight) if wants_weight else None
    hidden, weight = rounded(hidden, autocast), rounded(weight, autocast)
    dtype, multiplied = compute_dtype(hidden, weight), operand_dtype(hidden, weight)
    differentiated = gradient_dtype(multiplied)
    grad_bias = torch.zeros_like(bias, dtype=dtype) if wants_bias else None
    rows = torch.arange(len(hidden), device=hidden.device) if rows is None else rows
    live = grad_logprobs != 0 if grad_entropy is None else (grad_logprobs != 0) | (grad_entropy != 0)
    # rows without a gradient cost nothing, and whatever is in them (NaN) reaches no parameter
    keep = live.nonzero().squeeze(1)
    rows, targets, *given = (x[keep] for x in (rows, targets, lse, entropy, grad_logprobs))
    given += [None if grad_entropy is None else grad_entropy[keep], head.temperature[keep]]
    step, columns = backward_block(hidden.is_cuda)
    states = hidden[rows].to(multiplied)
    grad_states = torch.zeros_like(states, dtype=dtype) if wants_hidden else None
    for block in parts(len(weight), columns):
        block_weight = weight[block].to(multiplied)
        block_bias = None if bias is None else bias[block]
        block_grad = torch.zeros_like(block_weight, dtype=dtype) if wants_weight else None
        for p in parts(len(rows), step):
            z = fill_logits(states[p], block_weight, block_bias, dtype)
            some = (None if x is None else x[p] for x in given)
            dz = row_grad_(z, targets[p] - block.start, *some, head.softcap, differentiated)
            if wants_hidden:
                accumulate_(grad_states[p], dz, block_weight.to(differentiated))
            if wants_weight:
                accumulate_(block_grad, dz.T, states[p].to(differentiated))
            if wants_bias:
                grad_bias[block] += dz.sum(0, dtype=dtype)
        if wants_weight:
            grad_weight[block] = block_grad
    grad_hidden = torch.zeros_like(hidden, dtype=dtype).index_add_(0, rows, grad_states) if wants_hidden else None
    return grad_hidden, grad_weight, grad_bias
