"""Log-probability and entropy of target tokens from hidden states, without the `(m, v)` logits.

In PyTorch: `log_softmax(softcap * tanh((hidden[rows] @ weight.T + bias) / softcap) / temperature, -1)` at `targets`.
The idea of never holding the logits is that of Cut Cross-Entropy (arXiv 2411.09009).

All logits are float32 whatever the inputs (float64 for float64), autocast included: bfloat16 logits cost up to 0.08 nat
a token, which is larger than the log-ratios a policy update lives on.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cogrl_kernels.dispatch import choose

Impl = Literal["auto", "reference", "chunked", "triton"]
CHUNK_ROWS = 256
"""Rows of logits alive at once: enough to keep the matrix product busy, 150 MB of float32 at a 152k vocabulary."""
FLOATS = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


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
    impl: Impl = "auto",
) -> LogProbs:
    """Log-probabilities of `targets` (m,) under a language-model head `weight` (v, d) on `hidden` (r, d).

    `rows` (m,) names the hidden row of each target, repeats allowed (a group shares its last prompt row); without it
    row i predicts target i. `bias` is (v,). `softcap` acts on the biased logits, then `temperature` divides. Outputs
    are (m,), in nats, float32 (float64 if an input is). Gradients reach hidden, weight and bias from both the
    log-probabilities and the entropy. "reference" materialises the logits; "chunked" holds 256 rows of them and
    computes them again in backward.
    Raises ValueError on shapes, dtypes or ids that do not fit (ids on a GPU: a device assertion, so as not to wait).
    """
    function = choose("linear_logprob", impl, {"chunked": chunked, "reference": reference}, auto="chunked")
    rows = torch.arange(len(hidden), device=hidden.device) if rows is None else rows
    _check(hidden, weight, targets, rows, bias, temperature, softcap)
    with torch.autocast(hidden.device.type, enabled=False):
        logprobs, ent, lse, top1 = function(
            hidden, weight, targets.long(), rows.long(), bias, temperature, softcap, entropy
        )
    return LogProbs(logprobs, ent if entropy else None, lse, top1)


def reference(hidden, weight, targets, rows, bias, temperature, softcap, entropy):
    """The truth: every logit at once, gradients by autograd."""
    dtype = _compute_dtype(hidden, weight)
    logits = hidden[rows].to(dtype) @ weight.to(dtype).T
    if bias is not None:
        logits = logits + bias.to(dtype)
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    logprobs = torch.log_softmax(logits / temperature, -1)
    target = targets[:, None]
    ent = -(logprobs.exp() * logprobs).sum(-1) if entropy else None
    with torch.no_grad():
        lse = torch.logsumexp(logits / temperature, -1)
        chosen = logits.gather(1, target).squeeze(1)
        top1 = chosen == (logits.amax(-1) if logits.numel() else chosen)
    return logprobs.gather(1, target).squeeze(1), ent, lse, top1


def chunked(hidden, weight, targets, rows, bias, temperature, softcap, entropy):
    """Row blocks of logits, forward and again in backward."""
    return _Chunked.apply(hidden, weight, targets, rows, bias, temperature, softcap, entropy)


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden, weight, targets, rows, bias, temperature, softcap, entropy):
        dtype = _compute_dtype(hidden, weight)
        logprobs, ent, lse = (torch.zeros(len(targets), dtype=dtype, device=hidden.device) for _ in range(3))
        top1 = torch.zeros(len(targets), dtype=torch.bool, device=hidden.device)
        head = _gemm_operand(weight, hidden)
        for part in _parts(len(targets)):
            z = _logits(hidden[rows[part]], head, dtype, bias, softcap).div_(temperature)
            peak = z.amax(-1, keepdim=True)
            # shifted by the peak before anything is summed: no cancellation when all logits sit far from zero
            z -= peak
            chosen = z.gather(1, targets[part, None]).squeeze(1)
            top1[part] = chosen == 0
            p = z.exp()
            total = p.sum(-1)
            logprobs[part] = chosen - total.log()
            lse[part] = peak.squeeze(1) + total.log()
            if entropy:
                ent[part] = total.log() - p.mul_(z).sum(-1) / total
        ctx.save_for_backward(hidden, weight, targets, rows, bias, ent, lse)
        ctx.temperature, ctx.softcap, ctx.entropy = temperature, softcap, entropy
        ctx.mark_non_differentiable(lse, top1)
        return logprobs, ent, lse, top1

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_logprobs, grad_entropy, _lse, _top1):
        hidden, weight, targets, rows, bias, ent, lse = ctx.saved_tensors
        dtype = _compute_dtype(hidden, weight)
        wants_hidden, wants_weight, wants_bias = (ctx.needs_input_grad[i] for i in (0, 1, 4))
        grad_hidden = torch.zeros_like(hidden, dtype=dtype) if wants_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=dtype) if wants_weight else None
        grad_bias = torch.zeros_like(bias, dtype=dtype) if wants_bias else None
        with torch.autocast(hidden.device.type, enabled=False):
            head = _gemm_operand(weight, hidden)
            for part in _parts(len(targets)):
                h = hidden[rows[part]]
                capped = _logits(h, head, dtype, bias, ctx.softcap)
                logprobs = capped / ctx.temperature - lse[part, None]
                p = logprobs.exp()
                # d logprob = onehot - p;  d entropy = -p * (log p + entropy)
                grad = p * -grad_logprobs[part, None]
                grad.scatter_add_(1, targets[part, None], grad_logprobs[part, None])
                if ctx.entropy:
                    grad -= p.mul_(logprobs.add_(ent[part, None])).mul_(grad_entropy[part, None])
                if ctx.softcap is not None:
                    grad *= 1 - (capped / ctx.softcap).square()
                grad = grad.div_(ctx.temperature)
                if wants_bias:
                    grad_bias += grad.sum(0)
                grad = grad.to(head.dtype)
                if wants_hidden:
                    grad_hidden.index_add_(0, rows[part], _mm(grad, head, dtype))
                if wants_weight:
                    grad_weight += _mm(grad.T, h.to(head.dtype), dtype)
        grads = [None] * 8
        for i, (value, like) in {0: (grad_hidden, hidden), 1: (grad_weight, weight), 4: (grad_bias, bias)}.items():
            grads[i] = None if value is None else value.to(like.dtype)
        return tuple(grads)


def _parts(m: int) -> list[slice]:
    return [slice(i, min(i + CHUNK_ROWS, m)) for i in range(0, m, CHUNK_ROWS)]


def _compute_dtype(hidden: Tensor, weight: Tensor) -> torch.dtype:
    return torch.promote_types(torch.promote_types(hidden.dtype, weight.dtype), torch.float32)


def _gemm_operand(weight: Tensor, hidden: Tensor) -> Tensor:
    # only CUDA multiplies bfloat16 matrices into float32; elsewhere one float32 copy of the head is made, and for
    # float16 everywhere, since the gradients of the logits would underflow in it
    if hidden.is_cuda and hidden.dtype == weight.dtype == torch.bfloat16:
        return weight
    return weight.to(_compute_dtype(hidden, weight))


def _mm(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.mm(a, b) if b.dtype == dtype else torch.mm(a, b, out_dtype=dtype)


def _logits(h: Tensor, head: Tensor, dtype: torch.dtype, bias: Tensor | None, softcap: float | None) -> Tensor:
    z = _mm(h.to(head.dtype), head.T, dtype)
    if bias is not None:
        z += bias.to(dtype)
    if softcap is not None:
        z = z.div_(softcap).tanh_().mul_(softcap)
    return z


def _check(hidden, weight, targets, rows, bias, temperature, softcap) -> None:
    for name, tensor, ndim in (("hidden", hidden, 2), ("weight", weight, 2), ("bias", bias, 1)):
        if tensor is not None and (tensor.ndim != ndim or tensor.dtype not in FLOATS):
            raise ValueError(
                f"{name} is {tuple(tensor.shape)} {tensor.dtype}; it needs {ndim} axes, a float dtype of 16 to 64 bit"
            )
    for name, tensor in (("targets", targets), ("rows", rows)):
        if tensor.ndim != 1 or tensor.dtype not in (torch.int32, torch.int64):
            raise ValueError(f"{name} is {tuple(tensor.shape)} {tensor.dtype}; it must have one axis of int32 or int64")
    if hidden.shape[1] != weight.shape[1]:
        raise ValueError(f"hidden has width {hidden.shape[1]} but weight has width {weight.shape[1]}")
    if bias is not None and len(bias) != len(weight):
        raise ValueError(f"bias has {len(bias)} entries for a vocabulary of {len(weight)}")
    if len(rows) != len(targets):
        raise ValueError(f"{len(targets)} targets for {len(rows)} hidden rows; pass one row per target in `rows`")
    devices = {str(x.device) for x in (hidden, weight, targets, rows, bias) if x is not None}
    if len(devices) > 1:
        raise ValueError(f"inputs lie on different devices: {', '.join(sorted(devices))}")
    if isinstance(temperature, Tensor) and (temperature.ndim or temperature.requires_grad):
        raise ValueError("a temperature tensor must have no axes and no gradient")
    if not isinstance(temperature, Tensor) and not temperature > 0:
        raise ValueError(f"temperature={temperature} must be positive; greedy decoding has no log-probabilities")
    if softcap is not None and not softcap > 0:
        raise ValueError(f"softcap={softcap} must be positive; None switches it off")
    _check_range("targets", targets, len(weight))
    _check_range("rows", rows, len(hidden))


def _check_range(name: str, index: Tensor, size: int) -> None:
    inside = ((index >= 0) & (index < size)).all()
    message = f"{name} has entries outside [0, {size}); leave masked tokens out with `rows` instead of marking them"
    if index.device.type != "cpu":
        torch._assert_async(inside, message)
    elif not inside:
        raise ValueError(f"{message}; found {index[(index < 0) | (index >= size)][:8].tolist()}")
