"""The logits of a head, piece by piece: how big a piece is, in which precision it is multiplied, and how it is padded.

All logits are float32 whatever the inputs (float64 for float64), autocast included: bfloat16 logits cost up to 0.08 nat
a token, which is larger than the log-ratios a policy update lives on. Under autocast hidden states and weight are
rounded to its dtype, as a linear layer's are, and multiplied in that; the products are summed and kept in float32.

On a CPU every product that makes logits has the same shape, 256 rows (the last ones padded) by 1024 columns: a library
of matrix products may take another path, and sum in another order, for another shape. A token's log-probability is the
same up to rounding in whatever batch it is scored, with or without gradients; its last bit is the library's, which may
also sum rows of one product in different orders.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from cogrl_kernels.row_ops import Fold, finish

CHUNK_ROWS = 256
"""Rows of logits alive at once on a CPU: enough to keep the product busy, 150 MB of float32 at a 152k vocabulary."""
CHUNK_COLUMNS = 1024
GPU_BUDGET = 2 * 2**30
"""Bytes that one chunk of logits and its gradient may take on a GPU."""


def parts(size: int, step: int) -> list[slice]:
    """[0, size) in slices of `step`."""
    return [slice(i, min(i + step, size)) for i in range(0, size, step)]


def training_rows(vocabulary: int, on_gpu: bool) -> int:
    """Rows of logits alive at once while gradients are made. Fewer than 1024 starve the products of a GPU.

    There they are a multiple of 256, so that no tile of a product is left partly empty.
    """
    return min(max(GPU_BUDGET // (6 * vocabulary) // 256 * 256, 1024), 8192) if on_gpu else CHUNK_ROWS


def scoring_block(on_gpu: bool) -> tuple[int, int]:
    """(rows, columns) of the logits alive at once while scoring."""
    return (2048, 16384) if on_gpu else (CHUNK_ROWS, CHUNK_COLUMNS)


def backward_block(on_gpu: bool) -> tuple[int, int]:
    """(rows, columns) of the logits alive at once while they are computed again for their gradients."""
    return (32768, 8192) if on_gpu else (2048, CHUNK_COLUMNS)


def compute_dtype(hidden: Tensor, weight: Tensor) -> torch.dtype:
    """float32, or float64 if an input is."""
    return torch.promote_types(torch.promote_types(hidden.dtype, weight.dtype), torch.float32)


def autocast_dtype(like: Tensor) -> torch.dtype | None:
    """What autocast makes of a linear layer's inputs on the device of `like`; None where it is off.

    To be asked for outside of operators: inside one, and in backward, autocast may be another.
    """
    kind = like.device.type
    on = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if on else None


def without_autocast(like: Tensor) -> AbstractContextManager:
    """Operations on the device of `like` compute in the dtypes they are given."""
    kind = like.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def rounded(x: Tensor, autocast: torch.dtype | None) -> Tensor:
    """`x` as autocast hands it to a linear layer, which leaves float64 as it is."""
    return x if autocast is None or x.dtype == torch.float64 else x.to(autocast)


def operand_dtype(hidden: Tensor, weight: Tensor) -> torch.dtype:
    """What is multiplied into logits: only a GPU multiplies 16-bit numbers into float32."""
    if hidden.is_cuda and hidden.dtype == weight.dtype and hidden.dtype in (torch.bfloat16, torch.float16):
        return hidden.dtype
    return compute_dtype(hidden, weight)


def gradient_dtype(multiplied: torch.dtype) -> torch.dtype:
    """What the gradient of logits is multiplied in, by their `operand_dtype`: in float16 it would underflow."""
    return torch.float32 if multiplied == torch.float16 else multiplied


def product(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """a @ b, summed and returned in `dtype`."""
    return torch.mm(a, b) if b.dtype == dtype else torch.mm(a, b, out_dtype=dtype)


def accumulate_(total: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """total += a @ b, in the precision of `total` and without another tensor of its size."""
    if b.dtype == total.dtype:
        return total.addmm_(a, b)
    return torch.addmm(total, a, b, out_dtype=total.dtype, out=total)


def padded(x: Tensor, rows: int, value: float = 0) -> Tensor:
    """`x` with `rows` rows on a CPU, the missing ones filled with `value`; as it is on a GPU."""
    missing = rows - len(x)
    return x if x.is_cuda or not missing else torch.cat([x, x.new_full((missing, *x.shape[1:]), value)])


def fill_logits(h: Tensor, head: Tensor, bias: Tensor | None, dtype: torch.dtype, out: Tensor | None = None) -> Tensor:
    """h @ head.T + bias, (c, v) in `dtype`, from operands in their `operand_dtype`; into `out` on a CPU, if given."""
    if h.is_cuda:
        z = product(h, head.T, dtype)
        return z if bias is None else z.add_(bias)
    z = h.new_empty(len(h), len(head), dtype=dtype) if out is None else out
    for part in parts(len(head), CHUNK_COLUMNS):
        torch.mm(h, head[part].T, out=z[:, part])
        if bias is not None:
            z[:, part] += bias[part].to(dtype)
    return z


def score(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    rows: Tensor | None,
    bias: Tensor | None,
    temperature: Tensor,
    softcap: float | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(logprobs, entropy, lse, top1), each (m,), block of the vocabulary after block; `temperature` is (m,)."""
    return finish(*score_partials(hidden, weight, targets, rows, bias, temperature, softcap))


def score_partials(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    rows: Tensor | None,
    bias: Tensor | None,
    temperature: Tensor,
    softcap: float | None,
) -> tuple[Tensor, ...]:
    """(peak, total, first, chosen) as `row_partials` has them, of which `weight` may be a shard of the vocabulary."""
    dtype, m = compute_dtype(hidden, weight), len(targets)
    step, columns = scoring_block(hidden.is_cuda)
    states = (hidden if rows is None else hidden[rows]).to(operand_dtype(hidden, weight))
    chunks = [
        (padded(states[p], step), Fold(padded(targets[p], step), padded(temperature[p], step, 1), softcap))
        for p in parts(m, step)
    ]
    for part in parts(len(weight), columns) if chunks else []:
        head = weight[part].to(states.dtype)
        for h, fold in chunks:
            fold.add(fill_logits(h, head, None if bias is None else bias[part], dtype), part.start)
    if not chunks:
        return Fold(targets, temperature, softcap).partials()
    return tuple(torch.cat(values)[:m] for values in zip(*(fold.partials() for _, fold in chunks), strict=True))
