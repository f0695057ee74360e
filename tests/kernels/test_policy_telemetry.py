"""Telemetry: every number of every (route, sign) against loops over floats; tables that add up; quantiles."""

import itertools
import math
import statistics

import pytest
import torch
from cogrl_kernels.policy_loss import PolicyLossConfig, policy_loss
from cogrl_kernels.policy_metrics import BINS, SIGNS, PolicyMetrics, merge
from policy_cases import batch
from policy_oracle import truth

KINDS = ("sapo", "grpo", "gspo", "cispo", "reinforce")
ALL = {"kl_coef": 0.1, "is_cap": 2.0, "n_routes": 2}


def run(call, settings, **change):
    return policy_loss(**(call | change), config=settings).metrics


def expected(tokens):
    """Of the trained tokens of one selection, from their facts."""
    good = [x for x in tokens if not x["bad"]]
    mean = lambda values: statistics.fmean(values) if good else math.nan
    kl = lambda x, y: math.expm1(y) - y
    clamp = lambda y: min(max(y, -20.0), 20.0)
    return {
        "tokens": len(tokens),
        "bad": len(tokens) - len(good),
        "gate": mean(x["gate"] for x in good),
        "gate_pos": mean_of(good, lambda x: x["a"] > 0),
        "gate_neg": mean_of(good, lambda x: x["a"] < 0),
        "effective": mean(x["gate"] >= 0.5 for x in good),
        "clipped": mean(x["gate"] < 0.5 for x in good),
        "ratio_mean": mean(x["ratio"] for x in good),
        "ratio_max": max((x["ratio"] for x in good), default=math.nan),
        "ratio_min": min((x["ratio"] for x in good), default=math.nan),
        "log_ratio_abs": mean(abs(x["d"]) for x in good),
        "kl_old": mean(kl(x, clamp(x["d"])) for x in good),
        "k1": mean(x["away"] for x in good),
        "k2": mean(x["away"] ** 2 / 2 for x in good),
        "k3": mean(kl(x, clamp(-x["away"])) for x in good),
        "kl": mean(kl(x, clamp(-x["away"])) for x in good),
        "is_weight": mean(x["w"] for x in good),
        "entropy": mean(x["entropy"] for x in good),
    }


def mean_of(good, where):
    values = [x["gate"] for x in good if where(x)]
    return statistics.fmean(values) if values else math.nan


def selections(tokens):
    signs = {"pos": lambda a: a > 0, "neg": lambda a: a < 0, "zero": lambda a: a == 0}
    for route, sign in itertools.product((None, 0, 1), (None, *SIGNS)):
        chosen = [x for x in tokens if x and route in (None, x["route"])]
        yield route, sign, [x for x in chosen if sign is None or signs[sign](x["advantage"])]


@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_number_of_every_route_and_sign(kind, per_token):
    call = batch(per_token=per_token)
    settings = PolicyLossConfig(kind=kind, **ALL)
    metrics, tokens = run(call, settings), truth(call, settings).tokens
    for route, sign, chosen in selections(tokens):
        found = metrics.of(route, sign)
        got = {name: value.item() for name, value in found.items()}
        assert got == pytest.approx(expected(chosen), rel=1e-9, nan_ok=True), (route, sign)
        bins = [min(int(x["gate"] * BINS), BINS - 1) for x in chosen if not x["bad"]]
        assert found.gate_histogram().tolist() == [bins.count(i) for i in range(BINS)]
    assert not any(value.requires_grad for value in metrics.values())


def test_what_was_not_given_is_nan_and_the_rest_is_not():
    call = batch(poison=False) | dict.fromkeys(("entropy", "ref_logprobs", "rollout_logprobs", "routes", "mask"))
    metrics = run(call, PolicyLossConfig())
    absent = {"k1", "k2", "k3", "kl", "is_weight", "entropy"}
    assert {name for name, value in metrics.items() if value.isnan()} == absent


def test_kl_is_the_estimator_of_the_config():
    metrics = run(batch(), PolicyLossConfig(**ALL, kl_estimator="k2"))
    assert metrics["kl"] == metrics["k2"] != metrics["k3"]


def test_tables_of_micro_batches_merge_into_that_of_the_batch():
    call, settings = batch(), PolicyLossConfig(**ALL)
    cu, parts = call["cu_seqlens"], []
    for i, j in ((0, 2), (2, 2), (2, 6)):
        tokens = slice(int(cu[i]), int(cu[j]))
        part = {k: x[i:j] if k in ("advantages", "routes") else x[tokens] for k, x in call.items()}
        parts.append(run(part, settings, cu_seqlens=cu[i : j + 1] - cu[i]).table)
    torch.testing.assert_close(merge(*parts), run(call, settings).table, rtol=1e-12, atol=1e-12)


def test_quantiles_come_from_the_histogram():
    table = torch.zeros(1, 3, run(batch(), PolicyLossConfig(**ALL)).table.shape[-1], dtype=torch.float64)
    metrics = PolicyMetrics(table)
    assert metrics.gate_quantile(0.5).isnan()
    gates = torch.rand(4000, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 2
    table[0, 0, -BINS:] = torch.histc(gates, BINS, 0, 1)
    for q in (0.0, 0.1, 0.5, 0.9, 1.0):
        assert metrics.gate_quantile(q).item() == pytest.approx(gates.quantile(q).item(), abs=1 / BINS)
    table[0, 0, -BINS:-2] = 0  # all tokens in the last two bins
    assert metrics.gate_quantile(0.0) == 1 - 2 / BINS and metrics.gate_quantile(1.0) == 1


def test_routes_and_signs_that_are_not_told_apart_are_refused():
    metrics = run(batch(), PolicyLossConfig(**ALL))
    with pytest.raises(IndexError, match="route=-1"):
        metrics.of(-1)
    with pytest.raises(KeyError, match="sign='both'"):
        metrics.of(sign="both")


def test_telemetry_of_sapo_sees_swapped_temperatures():
    call = batch()
    right, swapped = (run(call, PolicyLossConfig(tau_pos=p, tau_neg=n, **ALL)) for p, n in ((1.0, 12.0), (12.0, 1.0)))
    assert right["gate_pos"] > 2 * swapped["gate_pos"] and swapped["gate_neg"] > 2 * right["gate_neg"]
