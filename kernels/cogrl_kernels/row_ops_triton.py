"""Triton kernels behind `row_stats` and `row_grad_`: each reads every logit once, and nothing of their size is kept.

In PyTorch: `cogrl_kernels.row_ops`, which is the truth. Statistics are taken in base 2 (`exp2` is the hardware's own)
and shifted by the running maximum before anything is summed (online softmax, arXiv 1805.02867).
A logit that is NaN or +inf makes the results of its row NaN, and of no other row.
"""

import itertools

import torch
import triton
import triton.language as tl
from torch import Tensor

from cogrl_kernels.launch import AotCase, require_launchable, signature
from cogrl_kernels.row_ops import finish

LOG2E = tl.constexpr(1.4426950408889634)
LN2 = tl.constexpr(0.6931471805599453)
NOTHING = tl.constexpr(-1e30)
"""Where a running maximum starts, and a column outside the vocabulary: finite, so that no difference is NaN."""

BLOCK = 4096
WARPS = 8


@triton.jit
def tanh_of(x, softcap):
    """tanh(x / softcap), of any size of x: the exponent is never positive."""
    e = tl.exp2(tl.abs(x) * (-2.0 * LOG2E / softcap))
    t = (1.0 - e) / (1.0 + e)
    return tl.where(x < 0, -t, t)


@triton.jit
def fold(x, peak, total, first):
    """Columns x (rows, columns), base 2, added to (maximum, sum, sum of sum-weighted distances to the maximum)."""
    higher = tl.maximum(peak, tl.max(x, 1))
    shift = peak - higher
    decay = tl.exp2(shift)
    x = x - higher[:, None]
    p = tl.exp2(x)
    first = decay * (first + shift * total) + tl.sum(p * x, 1)
    return higher, decay * total + tl.sum(p, 1), first


@triton.jit
def store_partials(out, index, inside, n, peak, total, first, chosen):
    """What is known of n rows, from base 2 to nats: the four rows of out (4, n)."""
    tl.store(out + index, peak * LN2, mask=inside)
    tl.store(out + n + index, total, mask=inside)
    tl.store(out + 2 * n + index, first * LN2, mask=inside)
    tl.store(out + 3 * n + index, chosen * LN2, mask=inside)


@triton.jit
def stats_kernel(z, targets, temperature, out, softcap, n, v, stride, CAPPED: tl.constexpr, BLOCK: tl.constexpr):
    """One program per row."""
    index = tl.program_id(0) + tl.arange(0, 1)
    row = z + index.to(tl.int64) * stride
    scale = LOG2E / tl.load(temperature + index)
    target = tl.load(targets + index)
    here = (target >= 0) & (target < v)
    chosen = tl.load(row + target, mask=here, other=0.0)
    if CAPPED:
        chosen = tanh_of(chosen, softcap) * softcap
    chosen = tl.where(here, chosen * scale, NOTHING)
    peak = tl.full([1], NOTHING, tl.float32)
    total = tl.zeros([1], tl.float32)
    first = tl.zeros([1], tl.float32)
    for start in range(0, v, BLOCK):
        column = start + tl.arange(0, BLOCK)[None, :]
        x = tl.load(row[:, None] + column, mask=column < v, other=0.0)
        if CAPPED:
            x = tanh_of(x, softcap) * softcap
        # after the cap, which would make the sentinel an ordinary logit
        x = tl.where(column < v, x * scale[:, None], NOTHING)
        peak, total, first = fold(x, peak, total, first)
    store_partials(out, index, index < n, n, peak, total, first, chosen)


@triton.jit
def grad_kernel(
    z,
    out,
    targets,
    lse,
    entropy,
    grad_logprobs,
    grad_entropy,
    temperature,
    softcap,
    v,
    z_stride,
    out_stride,
    CAPPED: tl.constexpr,
    ENTROPY: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One program per row; `out` may be `z`, since every block is read before it is written."""
    index = tl.program_id(0).to(tl.int64)
    z += index * z_stride
    out += index * out_stride
    target = tl.load(targets + index)
    t = tl.load(temperature + index)
    g = tl.load(grad_logprobs + index)
    lse2 = tl.load(lse + index) * LOG2E
    live = g != 0
    if ENTROPY:
        ge = tl.load(grad_entropy + index)
        h = tl.load(entropy + index)
        live = live | (ge != 0)
    # a row without a gradient is written and not read, whatever is in it
    readable = tl.where(live, v, 0)
    for start in range(0, v, BLOCK):
        column = start + tl.arange(0, BLOCK)
        x = tl.load(z + column, mask=column < readable, other=NOTHING)
        slope = 1.0 / t
        if CAPPED:
            x = tanh_of(x, softcap)
            slope = (1.0 - x * x) / t
            x = x * softcap
        x = x * (LOG2E / t) - lse2
        # d logprob = onehot - p;  d entropy = -p * (log p + entropy)
        weight = g
        if ENTROPY:
            weight = g + ge * (x * LN2 + h)
        dz = tl.where(column == target, g, 0.0) - tl.exp2(x) * weight
        dz = tl.where(column < readable, dz * slope, 0.0)
        tl.store(out + column, dz.to(out.dtype.element_ty), mask=column < v)


def row_stats(
    z: Tensor, targets: Tensor, temperature: Tensor | float, softcap: float | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(logprobs, entropy, lse, top1), each (c,), of float32 logits z (c, v) at `targets` (c,); top1 is bool.

    Raises ValueError for CPU tensors outside the interpreter and for logits that are not float32.
    """
    return finish(*row_partials(z, targets, temperature, softcap))


def row_partials(
    z: Tensor, targets: Tensor, temperature: Tensor | float, softcap: float | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(peak, total, first, chosen), each (c,), where z (c, v) is part of a vocabulary: see `row_ops.row_partials`.

    A target outside [0, v) is in another part: its `chosen` lies below -1e29. So it does where v is 0.
    """
    _check("row_stats", z, targets)
    z = z if z.stride(1) == 1 else z.contiguous()
    n, v = z.shape
    out = z.new_empty(4, n)
    if not n:
        return out.unbind()
    with torch.cuda.device_of(z):
        stats_kernel[(n,)](
            z,
            targets.contiguous(),
            per_row(temperature, targets),
            out,
            1.0 if softcap is None else float(softcap),
            n,
            v,
            z.stride(0),
            CAPPED=softcap is not None,
            BLOCK=BLOCK,
            num_warps=WARPS,
        )
    return out.unbind()


def row_grad_(
    z: Tensor,
    targets: Tensor,
    lse: Tensor,
    entropy: Tensor,
    grad_logprobs: Tensor,
    grad_entropy: Tensor | None,
    temperature: Tensor | float,
    softcap: float | None,
    out_dtype: torch.dtype,
) -> Tensor:
    """d loss / d z (c, v) in `out_dtype` from d loss / d logprobs and d loss / d entropy (c,); float32 goes in place.

    `lse` and `entropy` are those of `row_stats` (of the whole vocabulary where z is a shard of it). A row whose two
    coefficients are zero comes out zero and is not read.
    Raises ValueError for CPU tensors outside the interpreter and for logits that are not float32.
    """
    _check("row_grad_", z, targets)
    z = z if z.stride(1) == 1 else z.contiguous()
    n, v = z.shape
    out = z if out_dtype == torch.float32 else torch.empty_like(z, dtype=out_dtype)
    vectors = [None if x is None else x.float().contiguous() for x in (lse, entropy, grad_logprobs, grad_entropy)]
    if not n:
        return out
    with torch.cuda.device_of(z):
        grad_kernel[(n,)](
            z,
            out,
            targets.contiguous(),
            *vectors,
            per_row(temperature, targets),
            1.0 if softcap is None else float(softcap),
            v,
            z.stride(0),
            out.stride(0),
            CAPPED=softcap is not None,
            ENTROPY=grad_entropy is not None,
            BLOCK=BLOCK,
            num_warps=WARPS,
        )
    return out


def per_row(temperature: Tensor | float, targets: Tensor) -> Tensor:
    """The temperature of every target (c,), float32, from a number, a number in a tensor, or one per target."""
    if isinstance(temperature, Tensor):
        return temperature.float().expand(len(targets)).contiguous()
    return torch.full((len(targets),), float(temperature), dtype=torch.float32, device=targets.device)


def _check(operation: str, z: Tensor, targets: Tensor) -> None:
    require_launchable(operation, stats_kernel, z, targets)
    if z.dtype != torch.float32 or z.ndim != 2:
        raise ValueError(f"{operation}: z is {tuple(z.shape)} {z.dtype}; the kernel reads float32 logits (rows, v)")


def aot_cases() -> list[AotCase]:
    """What `row_stats`, `row_partials` and `row_grad_` launch."""
    pointers = dict.fromkeys(("z", "temperature"), "*fp32") | {"targets": "*i64"}
    types = pointers | {"out": "*fp32", "softcap": "fp32"} | dict.fromkeys(("n", "v", "stride"), "i32")
    cases = [
        AotCase(
            f"row_stats{' capped' * capped}",
            stats_kernel,
            signature(stats_kernel, **types),
            {"CAPPED": capped, "BLOCK": BLOCK},
            (*pointers, "out", "v", "stride"),
            WARPS,
        )
        for capped in (False, True)
    ]
    pointers |= dict.fromkeys(("lse", "entropy", "grad_logprobs", "grad_entropy"), "*fp32")
    types = {"softcap": "fp32"} | dict.fromkeys(("v", "z_stride", "out_stride"), "i32")
    for out, capped, given in (
        *itertools.product(("fp32", "bf16"), (False, True), (False, True)),
        ("fp16", True, True),
    ):
        mine = pointers | {"out": f"*{out}"}
        if not given:
            del mine["grad_entropy"]
        cases.append(
            AotCase(
                f"row_grad {out}{' capped' * capped}{' entropy' * given}",
                grad_kernel,
                signature(grad_kernel, **mine, **types),
                {"CAPPED": capped, "ENTROPY": given, "BLOCK": BLOCK} | ({} if given else {"grad_entropy": None}),
                (*mine, "v", "z_stride", "out_stride"),
                WARPS,
            )
        )
    return cases
