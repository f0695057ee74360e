"""The policy loss as loops over Python floats, with its derivatives by hand: what every implementation is held to.

Nothing here is shared with the library: no tensor operation, no import of a formula.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch

CLIPS = {"grpo": (0.2, 0.2), "dapo": (0.2, 0.28), "dr_grpo": (0.2, 0.2), "gspo": (3e-4, 4e-4), "cispo": (None, 4.0)}
REDUCTIONS = {"token_mean": ("dapo", "cispo"), "fixed_length": ("dr_grpo",)}


@dataclass
class Truth:
    """Loss, gradients, and per token (None = does not train) what telemetry counts."""

    loss: float = 0.0
    logprob_grad: list[float] = field(default_factory=list)
    entropy_grad: list[float] = field(default_factory=list)
    tokens: list[dict[str, float] | None] = field(default_factory=list)


def truth(call: dict[str, Any], config: Any, num_tokens=None, num_rollouts=None) -> Truth:
    """Of a call of `policy_loss` whose tensors are on the CPU."""
    cu = call["cu_seqlens"].tolist()
    n, s = cu[-1], len(cu) - 1
    lp, ent, old, ref, rollout = (
        None if call.get(name) is None else [float(x) for x in call[name].double()]
        for name in ("logprobs", "entropy", "old_logprobs", "ref_logprobs", "rollout_logprobs")
    )
    mask = [True] * n if call.get("mask") is None else call["mask"].tolist()
    out = Truth(0.0, [0.0] * n, [0.0] * n, [None] * n)
    reduction = config.reduction or next(
        (r for r, kinds in REDUCTIONS.items() if config.kind in kinds), "sequence_mean"
    )
    rollouts = s if num_rollouts is None else num_rollouts
    trained = sum(mask) if num_tokens is None else num_tokens
    for i in range(s):
        span = range(cu[i], cu[i + 1])
        mine = [t for t in span if mask[t]]
        share = {
            "sequence_mean": 1 / (max(len(mine), 1) * rollouts),
            "token_mean": 1 / trained if trained else 0.0,
            "fixed_length": 1 / ((config.length or 1) * rollouts),
        }[reduction]
        facts = {t: _facts(t, i, lp, ent, old, ref, rollout, call, config) for t in mine}
        good = [t for t in mine if facts[t] is not None]
        whole = sum(facts[t]["d"] for t in good) / max(len(good), 1)
        terms = {t: _term(facts[t], whole, config) for t in good}
        for t in good:
            loss, slope = terms[t]["loss"], terms[t]["slope"]
            if config.kind == "gspo":
                slope = sum(terms[u]["slope"] for u in good) / len(good)
            if config.kl_coef:
                kl, kl_slope = _kl(facts[t]["away"], config.kl_estimator)
                loss, slope = loss + config.kl_coef * kl, slope + config.kl_coef * kl_slope
            out.loss += share * (loss - config.entropy_coef * facts[t]["entropy"])
            out.logprob_grad[t] = share * slope
            out.entropy_grad[t] = -share * config.entropy_coef
        for t in mine:
            a = _at(call["advantages"], t, i, s)
            route = 0 if call.get("routes") is None else int(call["routes"][i])
            out.tokens[t] = {"route": route, "advantage": a, "bad": t not in terms}
            if t in terms:
                out.tokens[t] |= facts[t] | terms[t]
    return out


def _at(value: Any, token: int, rollout: int, rollouts: int) -> float:
    if not isinstance(value, torch.Tensor) or value.ndim == 0:
        return float(value)
    return float(value[rollout if len(value) == rollouts else token])


def _facts(t, i, lp, ent, old, ref, rollout, call, config) -> dict[str, float] | None:
    before = lp[t] if old is None else old[t]
    facts = {
        "lp": lp[t],
        "a": _at(call["advantages"], t, i, len(call["cu_seqlens"]) - 1),
        "d": lp[t] - before,
        "away": 0.0 if ref is None else lp[t] - ref[t],
        "entropy": 0.0 if ent is None else ent[t],
        "drift": 0.0 if rollout is None else before - rollout[t],
    }
    if not all(math.isfinite(x) for x in facts.values()):
        return None
    facts["w"] = 1.0 if rollout is None else min(math.exp(_clamp(facts["drift"])), config.is_cap)
    if config.kind == "sapo":
        pos = 1.0 if config.tau_pos is None else config.tau_pos
        neg = 1.05 if config.tau_neg is None else config.tau_neg
        facts["tau"] = _at(pos if facts["a"] > 0 else neg, t, i, len(call["cu_seqlens"]) - 1)
    return facts


def _term(x, whole, config) -> dict[str, float]:
    """Weighted loss, its slope in the exponent of the ratio (or in the log-probability), gate and ratio."""
    a, w = x["a"], x["w"]
    exponent = whole if config.kind == "gspo" else x["d"]
    r = math.exp(_clamp(exponent))
    live = abs(exponent) <= 20
    if config.kind == "sapo":
        z = x["tau"] * (r - 1)
        loss = -a * (4 / x["tau"]) / (1 + math.exp(-z)) if z > -700 else 0.0
        gate = 0.0 if abs(z) > 700 else 1 / math.cosh(z / 2) ** 2
        slope = -a * gate * r * live
    elif config.kind == "reinforce":
        loss, gate, slope = -a * x["lp"], 1.0, -a
    else:
        low, high = CLIPS[config.kind]
        low = low if config.clip_low is None else config.clip_low
        high = 1 + (high if config.clip_high is None else config.clip_high)
        if config.kind == "cispo":
            loss, gate, slope = -min(r, high) * a * x["lp"], min(r, high) / r, -min(r, high) * a * live
        else:
            loss = -min(r * a, min(max(r, 1 - low), high) * a)
            gate = 0.0 if (a > 0 and r > high) or (a < 0 and r < 1 - low) else 1.0
            slope = -a * r * gate * live
    return {"loss": w * loss, "slope": w * slope, "gate": gate, "ratio": r}


def _kl(away: float, estimator: str) -> tuple[float, float]:
    """(estimate, slope) of KL(policy || reference) from log(policy / reference)."""
    if estimator == "k1":
        return away, 1.0
    if estimator == "k2":
        return away**2 / 2, away
    y = _clamp(-away)
    return math.expm1(y) - y, -math.expm1(y) * (abs(away) <= 20)


def _clamp(x: float) -> float:
    return min(max(x, -20.0), 20.0)
