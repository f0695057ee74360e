"""Log-probability and entropy of target tokens from hidden states, without the `(m, v)` logits.

In PyTorch: `log_softmax(softcap * tanh((hidden[rows] @ weight.T + bias) / softcap) / temperature, -1)` at `targets`.
The idea of never holding the logits is that of Cut Cross-Entropy (arXiv 2411.09009). Precision: see `head_chunks`.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from cogrl_kernels.dispatch import choose, fastest
from cogrl_kernels.head_backward import head_gradients
from cogrl_kernels.head_checks import check_head, check_values, per_target
from cogrl_kernels.head_chunks import autocast_dtype, compute_dtype, rounded, without_autocast
from cogrl_kernels.head_inputs import HeadInputs
from cogrl_kernels.head_modules import both_half, rows_of, scoring
from cogrl_kernels.row_ops import finish
from cogrl_kernels.vocab_shard import VocabShard, merge, real_rows, span, sum_over_ranks_

Impl = Literal["auto", "reference", "chunked", "triton"]


@dataclass(frozen=True)
class LogProbs:
    """Of `m` targets. `logprobs` and `entropy` carry gradients; `lse` and `top1` (the target is the argmax) do not."""

    logprobs: Tensor
    entropy: Tensor | None
    lse: Tensor
    top1: Tensor


def linear_logprob(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    rows: Tensor | None = None,
    bias: Tensor | None = None,
    temperature: float | Tensor = 1.0,
    softcap: float | None = None,
    entropy: bool = True,
    shard: VocabShard | None = None,
    impl: Impl = "auto",
) -> LogProbs:
    """Log-probabilities of `targets` (m,) under a language-model head `weight` (v, d) on `hidden` (r, d).

    `rows` (m,) names the hidden row of each target, repeats allowed (a group shares its last prompt row); without it
    row i predicts target i. `bias` is (v,). `softcap` acts on the biased logits, then `temperature` divides: a number,
    or a tensor () or (m,). Outputs are (m,), in nats, float32 (float64 if an input is). Gradients reach hidden, weight
    and bias from both the log-probabilities and the entropy.
    `shard`: weight and bias are this rank's part of the vocabulary, targets remain ids of the whole.

    "chunked" holds a block of the logits at a time, and makes it again in backward. "triton" makes the block in one
    kernel. "reference" holds all of them. A bias may exclude an id with -1e4, not with -inf.
    Raises ValueError on shapes, dtypes or ids that do not fit (ids on a GPU: a device assertion, so as not to wait).
    """
    implementations = {name: partial(_fused, impl=name) for name in ("triton", "chunked")} | {"reference": reference}
    autocast = autocast_dtype(hidden)
    auto = fastest(hidden, "chunked") if both_half(hidden, weight, autocast) else "chunked"
    function = choose("linear_logprob", impl, implementations, auto, like=hidden)
    check_head(hidden, weight, targets, rows, bias, temperature, softcap, shard)
    temperature = per_target(temperature, targets, compute_dtype(hidden, weight))
    rows = None if rows is None else rows.long()
    given = hidden, weight, targets.long(), rows, bias, temperature, softcap, shard, autocast
    logprobs, ent, lse, top1 = function(*given)
    return LogProbs(logprobs, ent if entropy else None, lse.detach(), top1)


def reference(hidden, weight, targets, rows, bias, temperature, softcap, shard, autocast):
    """The truth: every logit at once, gradients by autograd."""
    if shard is not None:
        raise ValueError(
            "impl='reference' knows the whole vocabulary only; pass impl='chunked' or 'triton' with a shard"
        )
    check_values(hidden, targets, rows, temperature, len(weight))
    dtype = compute_dtype(hidden, weight)
    with without_autocast(hidden):
        hidden, weight = (rounded(x, autocast).to(dtype) for x in (hidden, weight))
        logits = (hidden if rows is None else hidden[rows]) @ weight.T
        if bias is not None:
            logits = logits + bias.to(dtype)
        if softcap is not None:
            logits = softcap * torch.tanh(logits / softcap)
        logprobs = torch.log_softmax(logits / temperature[:, None], -1)
        ent = -(logprobs.exp() * logprobs).sum(-1)
        lse = torch.logsumexp(logits / temperature[:, None], -1)
    chosen = logits.gather(1, targets[:, None]).squeeze(1)
    top1 = chosen == (logits.amax(-1) if logits.numel() else chosen)
    return logprobs.gather(1, targets[:, None]).squeeze(1), ent, lse, top1


def _fused(hidden, weight, targets, rows, bias, temperature, softcap, shard, autocast, *, impl):
    return _stats(hidden, weight, targets, rows, bias, temperature, softcap, *span(shard, weight), autocast, impl)


@torch.library.custom_op("cogrl_kernels::linear_logprob", mutates_args=())
def _stats(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    rows: Tensor | None,
    bias: Tensor | None,
    temperature: Tensor,
    softcap: float | None,
    group: str | None,
    start: int,
    vocabulary: int,
    autocast: torch.dtype | None,
    impl: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(logprobs, entropy, lse, top1): an operator, so that compilers see one node and not its loops."""
    check_values(hidden, targets, rows, temperature, vocabulary)
    hidden, (weight, bias) = rounded(hidden, autocast), real_rows(rounded(weight, autocast), bias, start, vocabulary)
    with without_autocast(hidden):
        known = scoring(impl).score_partials(hidden, weight, targets - start, rows, bias, temperature, softcap)
    return finish(*(known if group is None else merge(known, group)))


@_stats.register_fake
def _(hidden, weight, targets, rows, bias, temperature, *options):
    vector = torch.empty_like(temperature)
    return vector, torch.empty_like(vector), torch.empty_like(vector), torch.empty_like(vector, dtype=torch.bool)


@torch.library.custom_op("cogrl_kernels::linear_logprob_grad", mutates_args=())
def _grads(
    grad_logprobs: Tensor,
    grad_entropy: Tensor | None,
    entropy: Tensor,
    lse: Tensor,
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    rows: Tensor | None,
    bias: Tensor | None,
    temperature: Tensor,
    softcap: float | None,
    group: str | None,
    start: int,
    vocabulary: int,
    autocast: torch.dtype | None,
    impl: str,
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of hidden, weight and bias, empty where not wanted."""
    head = HeadInputs(hidden, weight, bias, targets, rows, temperature, softcap, group, start, vocabulary)
    with without_autocast(hidden):
        grad_hidden, grad_weight, grad_bias = head_gradients(
            head.of_shard(), entropy, lse, grad_logprobs, grad_entropy, rows_of(impl).row_grad_, autocast, wanted
        )
    if grad_hidden is not None and group is not None:
        sum_over_ranks_(grad_hidden, group)
    found = zip((grad_hidden, grad_weight, grad_bias), (hidden, weight, bias), strict=True)
    return tuple(hidden.new_empty(0) if grad is None else _with_padding(grad, like) for grad, like in found)


@_grads.register_fake
def _(grad_logprobs, grad_entropy, entropy, lse, hidden, weight, targets, rows, bias, *rest):
    wants_hidden, wants_weight, wants_bias = rest[-1]
    return (
        torch.empty_like(hidden) if wants_hidden else hidden.new_empty(0),
        torch.empty_like(weight) if wants_weight else hidden.new_empty(0),
        torch.empty_like(bias) if wants_bias else hidden.new_empty(0),
    )


def _save(ctx, inputs, output):
    hidden, weight, targets, rows, bias, temperature, *ctx.options = inputs
    _, entropy, lse, _ = output
    ctx.save_for_backward(entropy, lse, hidden, weight, targets, rows, bias, temperature)
    ctx.set_materialize_grads(False)


def _backward(ctx, grad_logprobs, grad_entropy, _lse, _top1):
    entropy, *rest = ctx.saved_tensors
    wanted = [ctx.needs_input_grad[i] for i in (0, 1, 4)]
    grad_logprobs = torch.zeros_like(entropy) if grad_logprobs is None else grad_logprobs
    grads = _grads(grad_logprobs, grad_entropy, entropy, *rest, *ctx.options, wanted)
    hidden, weight, bias = (grad if want else None for grad, want in zip(grads, wanted, strict=True))
    return hidden, weight, None, None, bias, *[None] * (1 + len(ctx.options))


_stats.register_autograd(_backward, setup_context=_save)


def _with_padding(grad, like):
    grad = grad.to(like.dtype)
    return grad if len(grad) == len(like) else torch.cat([grad, grad.new_zeros(len(like) - len(grad), *grad.shape[1:])])
