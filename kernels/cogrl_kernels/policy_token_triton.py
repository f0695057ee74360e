"""Triton functions of single tokens: what is read of them, and the loss and gradient of each kind.

They are the formulas of `policy_kinds` with their derivatives, in float32, called by the kernels of
`policy_loss_triton`.
"""

import triton
import triton.language as tl

from cogrl_kernels.policy_kinds import LOG_RATIO_LIMIT

LIMIT = tl.constexpr(LOG_RATIO_LIMIT)
SAPO, CLIPPED, SEQUENCE, CISPO, REINFORCE = (tl.constexpr(i) for i in range(5))
EACH_CALL, EACH_ROLLOUT, EACH_TOKEN = (tl.constexpr(i) for i in range(3))
"""How many values a temperature or the advantages have."""


@triton.jit
def finite(x):
    return tl.abs(x) < float("inf")


@triton.jit
def clamp(x):
    return tl.minimum(tl.maximum(x, -LIMIT), LIMIT)


@triton.jit
def expm1_less(y):
    """expm1(y) - y, which is k3, accurate near 0 where the two cancel."""
    tail = 1 / 24 + y * (1 / 120 + y * (1 / 720 + y * (1 / 5040 + y * (1 / 40320))))
    series = y * y * (0.5 + y * (1 / 6 + y * tail))
    return tl.where(tl.abs(y) < 0.5, series, tl.exp(y) - 1.0 - y)


@triton.jit
def read(values, i, row, inside, EACH: tl.constexpr):
    """Of a temperature or the advantages, at tokens i of a rollout."""
    if EACH == EACH_TOKEN:
        value = tl.load(values + i, mask=inside, other=1.0).to(tl.float32)
    elif EACH == EACH_ROLLOUT:
        value = tl.load(values + row).to(tl.float32) + tl.zeros(i.shape, tl.float32)
    else:
        value = tl.load(values).to(tl.float32) + tl.zeros(i.shape, tl.float32)
    return value


@triton.jit
def token(i, row, inside, logprobs, entropy, advantages, old, ref, rollout, mask, is_cap, ADVANTAGES: tl.constexpr):
    """(trains, good, advantage, logprob, log-ratio, reference log-ratio, importance weight, entropy) at tokens i.

    `good`: every number the token needs is finite. From the log-probability on, all is harmless where it is not.
    """
    logprob = tl.load(logprobs + i, mask=inside, other=0.0).to(tl.float32)
    advantage = read(advantages, i, row, inside, ADVANTAGES)
    trains = inside
    if mask is not None:
        trains = trains & (tl.load(mask + i, mask=inside, other=0) != 0)
    before = logprob
    if old is not None:
        before = tl.load(old + i, mask=inside, other=0.0).to(tl.float32)
    step = logprob - before
    good = trains & finite(step) & finite(advantage)
    away = tl.zeros(i.shape, tl.float32)
    if ref is not None:
        away = logprob - tl.load(ref + i, mask=inside, other=0.0).to(tl.float32)
        good = good & finite(away)
    drift = tl.zeros(i.shape, tl.float32)
    if rollout is not None:
        drift = before - tl.load(rollout + i, mask=inside, other=0.0).to(tl.float32)
        good = good & finite(drift)
    spread = tl.zeros(i.shape, tl.float32)
    if entropy is not None:
        spread = tl.load(entropy + i, mask=inside, other=0.0).to(tl.float32)
        good = good & finite(spread)
    logprob = tl.where(good, logprob, 0.0)
    step = tl.where(good, step, 0.0)
    away = tl.where(good, away, 0.0)
    spread = tl.where(good, spread, 0.0)
    weight = tl.minimum(tl.exp(clamp(tl.where(good, drift, 0.0))), is_cap)
    return trains, good, advantage, logprob, step, away, weight, spread


@triton.jit
def policy_term(advantage, logprob, step, ratio, tau, low, high, KIND: tl.constexpr):
    """(loss, its derivative by the log-probability, gate) of a token; for SEQUENCE the derivative is the caller's."""
    slope = tl.zeros(step.shape, tl.float32)
    if KIND == SAPO:
        x = tau * (ratio - 1.0)
        e = tl.exp(-tl.abs(x))
        larger = 1.0 / (1.0 + e)
        smaller = e / (1.0 + e)
        gate = 4.0 * larger * smaller
        loss = -advantage * tl.where(x > 0, larger, smaller) * 4.0 / tau
        slope = -advantage * gate * ratio
    elif KIND == CISPO:
        weight = tl.minimum(ratio, high)
        gate = weight / ratio
        loss = -weight * advantage * logprob
        slope = -weight * advantage
    elif KIND == REINFORCE:
        gate = tl.full(step.shape, 1.0, tl.float32)
        loss = -advantage * logprob
        slope = -advantage
    else:
        held = tl.minimum(tl.maximum(ratio, low), high)
        outside = ((advantage > 0) & (ratio > high)) | ((advantage < 0) & (ratio < low))
        gate = tl.where(outside, 0.0, 1.0)
        loss = -tl.minimum(ratio * advantage, held * advantage)
        slope = -advantage * gate * ratio
    if KIND != REINFORCE:
        slope = tl.where(tl.abs(step) <= LIMIT, slope, 0.0)
    return loss, slope, gate


@triton.jit
def kl_term(away, ESTIMATOR: tl.constexpr):
    """(estimate of KL(policy || reference), its derivative) from the log-ratio to the reference."""
    if ESTIMATOR == 1:
        value = away
        slope = tl.full(away.shape, 1.0, tl.float32)
    elif ESTIMATOR == 2:
        value = away * away * 0.5
        slope = away
    else:
        y = clamp(-away)
        value = expm1_less(y)
        slope = tl.where(tl.abs(away) <= LIMIT, -(value + y), 0.0)
    return value, slope
