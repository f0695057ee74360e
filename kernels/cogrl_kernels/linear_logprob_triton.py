"""Triton kernel that scores targets under a language-model head: hidden states in, four numbers a target out.

In PyTorch: `log_softmax(softcap * tanh((hidden[rows] @ weight.T + bias) / softcap) / temperature, -1)` at the targets,
its entropy, its logsumexp and whether the target is the argmax; no gradients. Tiles of logits live in registers only
(the idea of Cut Cross-Entropy, arXiv 2411.09009): each program folds the tiles of one split of the vocabulary into
running statistics, and a second, small kernel merges the splits in a fixed order. The sum over the width is never split
and the splits depend on the vocabulary alone, so on one GPU a target is summed in the same order in any batch. (In the
interpreter a tile is NumPy's product, and the order is that of its library.)
"""

import itertools
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from cogrl_kernels.launch import AotCase, interpreted, require_launchable, signature
from cogrl_kernels.row_ops import finish
from cogrl_kernels.row_ops_triton import LOG2E, NOTHING, fold, per_row, store_partials, tanh_of

SPLITS = 16
"""Parts of the vocabulary that are scored independently: enough programs to fill a GPU at 1024 rows."""
MERGE_BLOCK = 128
GROUP = 8
"""Row blocks that share the cache: 1024 hidden states, 7 MB at width 3584."""


@dataclass(frozen=True)
class Tile:
    """Rows, vocabulary and width of a block, in elements, and how it is launched."""

    rows: int
    vocabulary: int
    width: int
    warps: int
    stages: int


LARGE = Tile(128, 128, 64, 8, 3)
"""16-bit inputs whose rows begin at multiples of 16 elements: the loads are as wide as the hardware's."""
SMALL = Tile(64, 64, 32, 8, 2)
"""Every other input: right, and slow (float32 is multiplied in float32, without tensor cores)."""


@triton.jit
def score_kernel(
    hidden,
    weight,
    bias,
    targets,
    rows,
    temperature,
    parts,
    softcap,
    n,
    v,
    d,
    hidden_stride,
    weight_stride,
    splits,
    tiles_per_split,
    CAPPED: tl.constexpr,
    UPCAST: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_K: tl.constexpr,
    GROUP: tl.constexpr,
):
    """One program per block of rows and split of the vocabulary; writes base-2 statistics to parts (4, splits, n).

    Programs of GROUP row blocks run together over all splits, so that their hidden states and the same tiles of the
    weight are found in the cache.
    """
    row_blocks = tl.cdiv(n, BLOCK_M)
    first_block = tl.program_id(0) // (GROUP * splits) * GROUP
    group = tl.minimum(row_blocks - first_block, GROUP)
    place = tl.program_id(0) % (GROUP * splits)
    split = place // group
    index = (first_block + place % group) * BLOCK_M + tl.arange(0, BLOCK_M)
    inside = index < n
    row = tl.load(rows + index, mask=inside, other=0).to(tl.int64)
    target = tl.load(targets + index, mask=inside, other=-1)
    scale = LOG2E / tl.load(temperature + index, mask=inside, other=1.0)
    k = tl.arange(0, BLOCK_K)
    hidden += row[:, None] * hidden_stride + k[None, :]
    peak = tl.full([BLOCK_M], NOTHING, tl.float32)
    chosen = tl.full([BLOCK_M], NOTHING, tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    first = tl.zeros([BLOCK_M], tl.float32)
    first_tile = split * tiles_per_split
    for tile in range(first_tile, tl.minimum(first_tile + tiles_per_split, tl.cdiv(v, BLOCK_V))):
        column = tile * BLOCK_V + tl.arange(0, BLOCK_V)
        # beyond the end of the vocabulary the last row is read again, and masked below
        weights = weight + tl.minimum(column, v - 1).to(tl.int64)[:, None] * weight_stride + k[None, :]
        x = tl.zeros([BLOCK_M, BLOCK_V], tl.float32)
        for start in range(0, d, BLOCK_K):
            a = tl.load(hidden + start, mask=k[None, :] < d - start, other=0.0)
            b = tl.load(weights + start, mask=k[None, :] < d - start, other=0.0)
            if UPCAST:
                a = a.to(tl.float32)
                b = b.to(tl.float32)
            # never tf32, the default for float32 on NVIDIA
            x = tl.dot(a, b.T, x, input_precision="ieee")
        if bias is not None:
            x += tl.load(bias + column, mask=column < v, other=0.0)[None, :]
        if CAPPED:
            x = tanh_of(x, softcap) * softcap
        # after the cap, which would make the sentinel an ordinary logit
        x = tl.where(column[None, :] < v, x * scale[:, None], NOTHING)
        chosen = tl.maximum(chosen, tl.max(tl.where(column[None, :] == target[:, None], x, NOTHING), 1))
        peak, total, first = fold(x, peak, total, first)
    out = parts + split * n + index
    tl.store(out, peak, mask=inside)
    tl.store(out + splits * n, total, mask=inside)
    tl.store(out + 2 * splits * n, first, mask=inside)
    tl.store(out + 3 * splits * n, chosen, mask=inside)


@triton.jit
def merge_kernel(parts, out, n, splits, BLOCK: tl.constexpr):
    """parts (4, splits, n) of `score_kernel`, from the first split to the last, to out (4, n)."""
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < n
    peak = tl.full([BLOCK], NOTHING, tl.float32)
    chosen = tl.full([BLOCK], NOTHING, tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    first = tl.zeros([BLOCK], tl.float32)
    for split in range(0, splits):
        part = parts + split * n + index
        its_peak = tl.load(part, mask=inside, other=0.0)
        its_total = tl.load(part + splits * n, mask=inside, other=1.0)
        its_first = tl.load(part + 2 * splits * n, mask=inside, other=0.0)
        chosen = tl.maximum(chosen, tl.load(part + 3 * splits * n, mask=inside, other=0.0))
        higher = tl.maximum(peak, its_peak)
        shift = peak - higher
        its_shift = its_peak - higher
        decay = tl.exp2(shift)
        its_decay = tl.exp2(its_shift)
        first = decay * (first + shift * total) + its_decay * (its_first + its_shift * its_total)
        total = decay * total + its_decay * its_total
        peak = higher
    store_partials(out, index, inside, n, peak, total, first, chosen)


def score(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    rows: Tensor | None,
    bias: Tensor | None,
    temperature: Tensor | float,
    softcap: float | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(logprobs, entropy, lse, top1), each (m,), of `targets` (m,) under hidden (r, d) and weight (v, d); no gradient.

    `rows` (m,) names the hidden row of each target (None: row i). float32 results, `top1` bool; half-precision inputs
    are multiplied into float32. A NaN in a hidden row makes its targets NaN, and no others.
    Raises ValueError for CPU tensors outside the interpreter, and for inputs of different or other dtypes than
    bfloat16, float16 and float32.
    """
    return finish(*score_partials(hidden, weight, targets, rows, bias, temperature, softcap))


def score_partials(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    rows: Tensor | None,
    bias: Tensor | None,
    temperature: Tensor | float,
    softcap: float | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(peak, total, first, chosen), each (m,), where `weight` is part of a vocabulary: see `row_ops.row_partials`.

    A target outside [0, v) is in another part: its `chosen` lies below -1e29. So it does where v is 0.
    """
    require_launchable("linear_logprob", score_kernel, hidden, weight, targets, rows, bias)
    if hidden.dtype != weight.dtype or hidden.dtype not in (torch.bfloat16, torch.float16, torch.float32):
        raise ValueError(
            f"linear_logprob: impl='triton' needs hidden and weight of one dtype of bfloat16, float16 or float32; "
            f"they are {hidden.dtype} and {weight.dtype}. Cast one, or pass impl='chunked'"
        )
    hidden, weight = _aligned(hidden), _aligned(weight)
    n, (v, d) = len(targets), weight.shape
    rows = torch.arange(n, device=targets.device) if rows is None else rows
    tile = tile_for(weight)
    out = torch.empty(4, n, dtype=torch.float32, device=hidden.device)
    if not n:
        return out.unbind()
    splits, tiles_per_split = vocabulary_splits(v, tile.vocabulary)
    parts = out.new_empty(4, splits, n)
    with torch.cuda.device_of(hidden):
        score_kernel[(triton.cdiv(n, tile.rows) * splits,)](
            hidden,
            weight,
            None if bias is None else bias.float().contiguous(),
            targets.long().contiguous(),
            rows.long().contiguous(),
            per_row(temperature, targets),
            parts,
            1.0 if softcap is None else float(softcap),
            n,
            v,
            d,
            hidden.stride(0),
            weight.stride(0),
            splits,
            tiles_per_split,
            CAPPED=softcap is not None,
            UPCAST=interpreted(score_kernel),
            **_blocks(tile),
            num_warps=tile.warps,
            num_stages=tile.stages,
        )
        merge_kernel[(triton.cdiv(n, MERGE_BLOCK),)](parts, out, n, splits, BLOCK=MERGE_BLOCK)
    return out.unbind()


def _aligned(x: Tensor) -> Tensor:
    # a copy where the loads would be narrower than the width allows: rows that are strided or begin at odd addresses
    narrow = x.data_ptr() % 16 or (x.stride(0) % 16 and x.shape[1] % 16 == 0)
    return x.clone(memory_format=torch.contiguous_format) if narrow or x.stride(1) != 1 else x


def _blocks(tile: Tile) -> dict[str, int]:
    return {"BLOCK_M": tile.rows, "BLOCK_V": tile.vocabulary, "BLOCK_K": tile.width, "GROUP": GROUP}


def tile_for(weight: Tensor) -> Tile:
    """The block of a product with `weight` (v, d): by its dtype and width alone, so no batch changes a result."""
    return LARGE if weight.dtype.itemsize == 2 and weight.shape[1] % 16 == 0 else SMALL


def vocabulary_splits(v: int, block: int) -> tuple[int, int]:
    """(splits, tiles in each but the last): of the vocabulary alone, so no batch changes a result."""
    tiles = max(triton.cdiv(v, block), 1)
    each = triton.cdiv(tiles, SPLITS)
    return triton.cdiv(tiles, each), each


def aot_cases() -> list[AotCase]:
    """What `score_partials` launches: both tiles, with and without bias and cap."""
    pointers = dict.fromkeys(("rows", "targets"), "*i64") | dict.fromkeys(("temperature", "parts"), "*fp32")
    sizes = ("v", "d", "hidden_stride", "weight_stride")
    types = {"softcap": "fp32"} | dict.fromkeys(("n", *sizes, "splits", "tiles_per_split"), "i32")
    both, neither = (True, True), (False, False)
    cases = []
    for dtype, tile, (biased, capped) in (
        *(("bf16", LARGE, flags) for flags in itertools.product((False, True), repeat=2)),
        *((dtype, tile, both) for dtype, tile in (("fp16", LARGE), ("bf16", SMALL), ("fp16", SMALL), ("fp32", SMALL))),
        ("fp32", SMALL, neither),
    ):
        mine = pointers | dict.fromkeys(("hidden", "weight"), f"*{dtype}") | ({"bias": "*fp32"} if biased else {})
        odd = tile is SMALL and dtype != "fp32"
        constexprs = {"CAPPED": capped, "UPCAST": False} | _blocks(tile) | ({} if biased else {"bias": None})
        cases.append(
            AotCase(
                f"score {dtype}{' bias' * biased}{' capped' * capped}{' odd width' * odd}",
                score_kernel,
                signature(score_kernel, **mine, **types),
                constexprs,
                (*mine, *sizes * (not odd)),
                tile.warps,
                tile.stages,
                tensor_cores=dtype != "fp32",
            )
        )
    merge = signature(merge_kernel, parts="*fp32", out="*fp32", n="i32", splits="i32")
    return [*cases, AotCase("score merge", merge_kernel, merge, {"BLOCK": MERGE_BLOCK}, ("parts", "out"))]
