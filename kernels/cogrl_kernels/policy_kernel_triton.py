"""Triton kernels behind `policy_loss`: one over the tokens, which also writes the gradients, and one that adds up.

In PyTorch: `token_terms` and `policy_table`, which are the truth. A program takes every `splits`-th block of one
rollout and keeps its sums in lanes, so nothing is added in an order that depends on timing: no atomics, equal bits in
every run. Where a token's gradient needs its whole rollout (the count of the mask, the ratio of gspo), each program
reads the rollout once before.
"""

import triton
import triton.language as tl

from cogrl_kernels.policy_metrics import BINS, COLUMNS, FIRST_BIN, NO_MAX, NO_MIN, RATIO_MAX, RATIO_MIN, SIGNS, SUMS
from cogrl_kernels.policy_token_triton import LIMIT, SEQUENCE, clamp, expm1_less, kl_term, policy_term, read, token

SEQUENCE_MEAN, TOKEN_MEAN, FIXED_LENGTH = (tl.constexpr(i) for i in range(3))
SCALARS = ("low", "high", "kl_coef", "entropy_coef", "is_cap", "length", "tau_pos", "tau_neg", "count")
"""Places in the tensor of scalars; the last three are read through pointers, which may also lead elsewhere."""
LOW, HIGH, KL_COEF, ENTROPY_COEF, IS_CAP, LENGTH = (tl.constexpr(i) for i in range(6))
N_SIGNS, N_BINS, N_COLUMNS = tl.constexpr(len(SIGNS)), tl.constexpr(BINS), tl.constexpr(COLUMNS)
LOSS, SIGN, WIDTH = tl.constexpr(COLUMNS), tl.constexpr(COLUMNS + 1), tl.constexpr(64)
"""A row of partial results: the columns of the table, the loss, which sign it is of, and room up to a power of two."""
TOKENS, BAD, GATE, RATIO, LOG_RATIO_ABS, KL_OLD, K1, K2, K3, IS_WEIGHT, ENTROPY = map(tl.constexpr, range(len(SUMS)))
MAX_COLUMN, MIN_COLUMN, BIN_COLUMN = (tl.constexpr(i) for i in (RATIO_MAX, RATIO_MIN, FIRST_BIN))
NO_MAXIMUM, NO_MINIMUM = tl.constexpr(NO_MAX), tl.constexpr(NO_MIN)


@triton.jit
def inverse(count):
    """1 / count, 0 where nothing was counted."""
    return tl.where(count > 0, 1.0 / tl.where(count > 0, count, 1.0), 0.0)


@triton.jit
def sign_of(advantage):
    """Place in SIGNS."""
    return tl.where(advantage > 0, 0, tl.where(advantage < 0, 1, 2))


@triton.jit
def policy_kernel(
    logprobs,
    entropy,
    advantages,
    cu_seqlens,
    old,
    ref,
    rollout,
    mask,
    tau_pos,
    tau_neg,
    scalars,
    count,
    grad,
    grad_entropy,
    partials,
    KIND: tl.constexpr,
    REDUCTION: tl.constexpr,
    ESTIMATOR: tl.constexpr,
    ADVANTAGES: tl.constexpr,
    TAUS_POS: tl.constexpr,
    TAUS_NEG: tl.constexpr,
    BLOCK: tl.constexpr,
    LANES: tl.constexpr,
):
    """Gradients (n,) of the tokens of one rollout, and partials (rollouts * splits * LANES, WIDTH).

    A lane is a sign of the advantage: one where a rollout has one advantage, or four, of which three are signs.
    """
    row = tl.program_id(0)
    split = tl.program_id(1)
    splits = tl.num_programs(1)
    start = tl.load(cu_seqlens + row).to(tl.int64)
    length = (tl.load(cu_seqlens + row + 1).to(tl.int64) - start).to(tl.int32)
    lane = tl.arange(0, BLOCK)
    zero = tl.zeros([BLOCK], tl.float32)
    low = tl.load(scalars + LOW)
    high = tl.load(scalars + HIGH)
    kl_coef = tl.load(scalars + KL_COEF)
    entropy_coef = tl.load(scalars + ENTROPY_COEF)
    is_cap = tl.load(scalars + IS_CAP)

    trained = length.to(tl.float32)
    whole_ratio = 1.0
    whole_slope = 0.0
    if KIND == SEQUENCE:
        total = zero
        used = zero
        seen = zero
        up = zero
        down = zero
        for offset in range(0, length, BLOCK):
            i = start + offset + lane
            inside = offset + lane < length
            trains, good, advantage, _, step, _, weight, _ = token(
                i, row, inside, logprobs, entropy, advantages, old, ref, rollout, mask, is_cap, ADVANTAGES
            )
            weighted = tl.where(good, weight * advantage, 0.0)
            total += step
            used += good.to(tl.float32)
            seen += trains.to(tl.float32)
            up += tl.maximum(weighted, 0.0)
            down += tl.minimum(weighted, 0.0)
        trained = tl.sum(seen)
        n_used = tl.maximum(tl.sum(used), 1.0)
        exponent = tl.sum(total) / n_used
        whole_ratio = tl.exp(clamp(exponent))
        # one ratio for all: each token's gradient has the mean weight of the sequence, not its own
        pushed = tl.where(whole_ratio <= high, tl.sum(up), 0.0) + tl.where(whole_ratio >= low, tl.sum(down), 0.0)
        whole_slope = tl.where(tl.abs(exponent) <= LIMIT, -pushed * whole_ratio / n_used, 0.0)
    elif mask is not None and REDUCTION == SEQUENCE_MEAN:
        seen = zero
        for offset in range(0, length, BLOCK):
            inside = offset + lane < length
            seen += (tl.load(mask + start + offset + lane, mask=inside, other=0) != 0).to(tl.float32)
        trained = tl.sum(seen)
    share = inverse(tl.load(count).to(tl.float32))
    if REDUCTION == SEQUENCE_MEAN:
        share = share / tl.maximum(trained, 1.0)
    if REDUCTION == FIXED_LENGTH:
        share = share / tl.load(scalars + LENGTH)

    lanes = tl.arange(0, LANES)
    slots = lanes
    if LANES == 1:
        slots += sign_of(tl.load(advantages + row))
    bins = tl.arange(0, N_BINS)
    loss_sum = zero
    cells = tl.zeros([LANES, BLOCK], tl.float32)
    tokens = tl.zeros([LANES], tl.int32)
    gates = cells
    ratios = cells
    steps = cells
    kl_old = cells
    k1 = cells
    k2 = cells
    k3 = cells
    weights = cells
    spreads = cells
    largest = cells + NO_MAXIMUM
    smallest = cells + NO_MINIMUM
    histogram = tl.zeros([LANES, N_BINS], tl.int32)
    for offset in range(split * BLOCK, length, splits * BLOCK):
        i = start + offset + lane
        inside = offset + lane < length
        trains, good, advantage, logprob, step, away, weight, spread = token(
            i, row, inside, logprobs, entropy, advantages, old, ref, rollout, mask, is_cap, ADVANTAGES
        )
        sign = sign_of(advantage)
        advantage = tl.where(good, advantage, 0.0)
        tau = tl.where(sign == 0, read(tau_pos, i, row, inside, TAUS_POS), read(tau_neg, i, row, inside, TAUS_NEG))
        ratio = tl.exp(clamp(step))
        if KIND == SEQUENCE:
            ratio = zero + whole_ratio
        loss, slope, gate = policy_term(advantage, logprob, step, ratio, tau, low, high, KIND)
        loss = loss * weight
        slope = slope * weight
        if KIND == SEQUENCE:
            slope = zero + whole_slope
        if ESTIMATOR != 0:
            value, kl_slope = kl_term(away, ESTIMATOR)
            loss += kl_coef * value
            slope += kl_coef * kl_slope
        if grad_entropy is not None:
            loss -= entropy_coef * spread
            tl.store(grad_entropy + i, tl.where(good, -entropy_coef * share, 0.0), mask=inside)
        tl.store(grad + i, tl.where(good, slope * share, 0.0), mask=inside)
        loss_sum += tl.where(good, loss * share, 0.0)

        mine = (sign[None, :] == slots[:, None]) & good[None, :]
        gates += tl.where(mine, gate[None, :], 0.0)
        ratios += tl.where(mine, ratio[None, :], 0.0)
        steps += tl.where(mine, tl.abs(step)[None, :], 0.0)
        kl_old += tl.where(mine, expm1_less(clamp(step))[None, :], 0.0)
        largest = tl.maximum(largest, tl.where(mine, ratio[None, :], NO_MAXIMUM))
        smallest = tl.minimum(smallest, tl.where(mine, ratio[None, :], NO_MINIMUM))
        if ref is not None:
            k1 += tl.where(mine, away[None, :], 0.0)
            k2 += tl.where(mine, (away * away * 0.5)[None, :], 0.0)
            k3 += tl.where(mine, expm1_less(clamp(-away))[None, :], 0.0)
        if rollout is not None:
            weights += tl.where(mine, weight[None, :], 0.0)
        if entropy is not None:
            spreads += tl.where(mine, spread[None, :], 0.0)
        # a block has fewer than 1024 tokens: the counts of three signs fit into the bits of one int32
        one = 1 << (10 * sign)
        tokens += (tl.sum(tl.where(trains, one, 0)) >> (10 * slots)) & 1023
        bin_of = tl.minimum((gate * N_BINS).to(tl.int32), N_BINS - 1)
        packed = tl.sum(tl.where((bin_of[:, None] == bins[None, :]) & good[:, None], one[:, None], 0), 0)
        histogram += (packed[None, :] >> (10 * slots)[:, None]) & 1023

    to = partials + ((row.to(tl.int64) * splits + split) * LANES + lanes) * WIDTH
    tl.store(to + SIGN, slots.to(tl.float32))
    tl.store(to + LOSS, tl.where(lanes == 0, tl.sum(loss_sum), 0.0))
    tl.store(to + TOKENS, tokens.to(tl.float32))
    tl.store(to + BAD, (tokens - tl.sum(histogram, 1)).to(tl.float32))
    tl.store(to + GATE, tl.sum(gates, 1))
    tl.store(to + RATIO, tl.sum(ratios, 1))
    tl.store(to + LOG_RATIO_ABS, tl.sum(steps, 1))
    tl.store(to + KL_OLD, tl.sum(kl_old, 1))
    if ref is None:
        k1 = cells + float("nan")
        k2 = k1
        k3 = k1
    if rollout is None:
        weights = cells + float("nan")
    if entropy is None:
        spreads = cells + float("nan")
    tl.store(to + K1, tl.sum(k1, 1))
    tl.store(to + K2, tl.sum(k2, 1))
    tl.store(to + K3, tl.sum(k3, 1))
    tl.store(to + IS_WEIGHT, tl.sum(weights, 1))
    tl.store(to + ENTROPY, tl.sum(spreads, 1))
    tl.store(to + MAX_COLUMN, tl.max(largest, 1))
    tl.store(to + MIN_COLUMN, tl.min(smallest, 1))
    tl.store(to[:, None] + BIN_COLUMN + bins[None, :], histogram.to(tl.float32))


@triton.jit
def sum_kernel(partials, routes, table, loss, rows, rows_of_rollout, ROWS: tl.constexpr, PART: tl.constexpr):
    """PART columns of the table (routes, signs, columns), for one route and sign, and the sum of all losses."""
    route = tl.program_id(0)
    sign = tl.program_id(1)
    column = tl.program_id(2) * PART + tl.arange(0, PART)
    sums = tl.zeros([ROWS, PART], tl.float32)
    largest = sums + NO_MAXIMUM
    smallest = sums + NO_MINIMUM
    for first in range(0, rows, ROWS):
        r = first + tl.arange(0, ROWS)
        inside = r < rows
        at = partials + r.to(tl.int64) * WIDTH
        mine = inside & (tl.load(at + SIGN, mask=inside, other=-1.0) == sign.to(tl.float32))
        if routes is not None:
            mine = mine & (tl.load(routes + r // rows_of_rollout, mask=inside, other=-1) == route)
        x = tl.load(at[:, None] + column[None, :], mask=inside[:, None], other=0.0)
        sums += tl.where(mine[:, None] | (column == LOSS)[None, :], x, 0.0)
        largest = tl.maximum(largest, tl.where(mine[:, None], x, NO_MAXIMUM))
        smallest = tl.minimum(smallest, tl.where(mine[:, None], x, NO_MINIMUM))
    result = tl.sum(sums, 0)
    if (route == 0) & (sign == 0):
        tl.store(loss + tl.zeros([PART], tl.int32), result, mask=column == LOSS)
    result = tl.where(column == MAX_COLUMN, tl.max(largest, 0), result)
    result = tl.where(column == MIN_COLUMN, tl.min(smallest, 0), result)
    tl.store(table + (route * N_SIGNS + sign) * N_COLUMNS + column, result, mask=column < N_COLUMNS)
