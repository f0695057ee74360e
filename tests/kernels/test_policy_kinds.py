"""The formulas of `policy_kinds` as they are written in their papers: float loops, closed forms, limits."""

import math

import pytest
import torch
from cogrl_kernels.own_kind import INPUTS
from cogrl_kernels.policy_config import DEFAULTS
from cogrl_kernels.policy_kinds import (
    KINDS,
    cispo,
    clip_gate,
    clipped,
    gspo,
    k1,
    k2,
    k3,
    reinforce,
    sapo,
    sapo_gate,
)
from cogrl_kernels.policy_loss import PolicyLossConfig, policy_loss

TAUS = [0.3, 1.0, 1.05, 10.0, 12.0]
OLD = torch.tensor([-2.0, -1.0, -3.0, -0.5, -1.5], dtype=torch.float64)
RATIOS = torch.tensor([0.5, 0.85, 1.0, 1.25, 1.5], dtype=torch.float64)


def called(loss, logprobs, old, advantage, **settings):
    """(loss, its gradient to the log-probabilities) of tokens that share an advantage."""
    leaf = logprobs.clone().requires_grad_()
    there = {"logprobs": leaf, "log_ratio": leaf - old, "ratio": (leaf - old).exp()}
    there |= {"sequence_ratio": (leaf - old).mean().exp().expand(len(leaf))}
    there |= {"advantages": torch.full_like(old, advantage)} | settings
    names = loss.__code__.co_varnames[: loss.__code__.co_argcount]
    value = loss(**{name: there[name] for name in names})
    value.sum().backward()
    return value.detach(), leaf.grad


@pytest.mark.parametrize("advantage", [1.7, -1.7])
@pytest.mark.parametrize("tau", TAUS)
def test_the_gradient_of_sapo_is_the_gated_policy_gradient_of_equation_7(tau, advantage):
    log_ratio = torch.linspace(-2, 2, 401, dtype=torch.float64)
    old = torch.full_like(log_ratio, -3.0)
    _, grad = called(sapo, old + log_ratio, old, advantage, tau=torch.tensor(tau, dtype=torch.float64))
    ratio = log_ratio.exp()
    gate = torch.cosh(tau * (ratio - 1) / 2) ** -2
    torch.testing.assert_close(grad, -advantage * ratio * gate, rtol=0, atol=1e-10)
    torch.testing.assert_close(sapo_gate(ratio, grad, tau), gate, rtol=0, atol=1e-12)


@pytest.mark.parametrize("advantage", [1.3, -0.7, 0.0])
@pytest.mark.parametrize("tau", TAUS)
def test_sapo_equals_the_formula_written_as_a_float_loop(tau, advantage):
    loss, _ = called(sapo, OLD + RATIOS.log(), OLD, advantage, tau=tau)
    for got, r in zip(loss.tolist(), RATIOS.tolist(), strict=True):
        assert math.isclose(got, -(4 / tau) / (1 + math.exp(-tau * (r - 1))) * advantage, rel_tol=1e-12)


@pytest.mark.parametrize("tau", [0.3, 1.0, 10.0])
def test_on_policy_sapo_is_reinforce_for_every_temperature(tau):
    loss, grad = called(sapo, OLD, OLD, 1.5, tau=tau)
    torch.testing.assert_close(grad, torch.full_like(OLD, -1.5))
    torch.testing.assert_close(loss, torch.full_like(OLD, -2 / tau * 1.5))


@pytest.mark.parametrize("ratio, weight", [(0.5, 0.940), (0.8, 0.990), (2.0, 0.786), (5.0, 0.071)])
def test_the_gate_of_sapo_closes_on_both_sides_of_one(ratio, weight):
    ratio = torch.tensor([ratio], dtype=torch.float64)
    assert sapo_gate(ratio, ratio, 1.0).item() == pytest.approx(weight, abs=5e-4)


@pytest.mark.parametrize("advantage, kept", [(2.0, [1, 1, 1, 1, 0]), (-2.0, [0, 1, 1, 1, 1])])
def test_the_clip_removes_only_updates_that_go_further_away(advantage, kept):
    clips = {"clip_low": 0.2, "clip_high": 0.28}
    _, grad = called(clipped, OLD + RATIOS.log(), OLD, advantage, **clips)
    torch.testing.assert_close(grad, -advantage * RATIOS * torch.tensor(kept))
    assert clip_gate(RATIOS, torch.full_like(OLD, advantage), **clips).tolist() == kept


@pytest.mark.parametrize("advantage", [1.3, -0.7, 0.0])
def test_the_clipped_loss_equals_the_formula_written_as_a_float_loop(advantage):
    loss, _ = called(clipped, OLD + RATIOS.log(), OLD, advantage, clip_low=0.1, clip_high=0.3)
    for got, r in zip(loss.tolist(), RATIOS.tolist(), strict=True):
        assert got == pytest.approx(-min(r * advantage, min(max(r, 0.9), 1.3) * advantage), rel=1e-12)


@pytest.mark.parametrize("advantage", [1.5, -0.5])
@pytest.mark.parametrize("clips", [(0.1, 0.3), (0.01, 0.1), (0.3, 0.01)])
def test_gspo_equals_the_formula_written_as_a_float_loop(advantage, clips):
    steps = [0.4, -0.1, 0.3, 0.2, -0.3]
    loss, grad = called(gspo, OLD + torch.tensor(steps).double(), OLD, advantage, clip_low=clips[0], clip_high=clips[1])
    low, high = 1 - clips[0], 1 + clips[1]
    s = math.exp(sum(torch.tensor(steps).double().tolist()) / 5)
    passes = s <= high if advantage > 0 else s >= low
    assert loss.tolist() == pytest.approx([-min(s * advantage, min(max(s, low), high) * advantage)] * 5)
    # the loss stands at every token of the sequence, so the sum has the slope of the sequence
    assert grad.tolist() == pytest.approx([-advantage * s * passes] * 5)


def test_the_sequence_ratio_is_the_geometric_mean_over_trained_tokens():
    step = torch.tensor([0.4, -0.1, 0.3, 9.0, -0.2], dtype=torch.float64)
    mask, cuts = torch.tensor([True, True, True, False, True]), torch.tensor([0, 4, 5])
    config = PolicyLossConfig("gspo", clip_low=1.0, clip_high=9.0, n_routes=2)
    out = policy_loss(
        OLD + step, torch.ones(2), cuts, config=config, old_logprobs=OLD, mask=mask, routes=torch.tensor([0, 1])
    )
    found = [out.metrics.of(route)["ratio_mean"].item() for route in (0, 1)]
    assert found == pytest.approx([math.exp(0.6 / 3), math.exp(-0.2)])


def test_gspo_uses_the_narrow_bounds_of_its_paper():
    def gate(step):
        config = PolicyLossConfig("gspo")
        return policy_loss(OLD + step, torch.ones(1), torch.tensor([0, 5]), config=config, old_logprobs=OLD).metrics[
            "gate"
        ]

    assert gate(3.5e-4) == 1 and gate(4.5e-4) == 0


@pytest.mark.parametrize("advantage", [1.5, -0.5])
def test_cispo_equals_the_formula_written_as_a_float_loop(advantage):
    logprobs = OLD + RATIOS.log()
    loss, grad = called(cispo, logprobs, OLD, advantage, clip_high=0.2)
    weights = [min(r, 1.2) for r in RATIOS.tolist()]
    assert loss.tolist() == pytest.approx(
        [-w * advantage * lp for w, lp in zip(weights, logprobs.tolist(), strict=True)]
    )
    assert grad.tolist() == pytest.approx([-w * advantage for w in weights])


@pytest.mark.parametrize("loss", [clipped, gspo, cispo, reinforce])
@pytest.mark.parametrize("advantage", [1.5, -0.5, 0.0])
def test_on_policy_the_gradient_is_reinforce(loss, advantage):
    _, grad = called(loss, OLD, OLD, advantage, clip_low=0.2, clip_high=0.2)
    torch.testing.assert_close(grad, torch.full_like(OLD, -advantage))


def test_every_kind_has_defaults_and_asks_for_what_a_function_of_ones_own_can_have_or_for_its_settings():
    assert KINDS.keys() == DEFAULTS.keys()
    for name, kind in KINDS.items():
        defaults = DEFAULTS[name]
        settings = {
            "tau": defaults.taus,
            "clip_low": defaults.clip_low,
            "clip_high": defaults.clip_high,
        }
        settings = {setting for setting, value in settings.items() if value is not None}
        assert set(kind.inputs) - set(INPUTS) == settings, name


def test_kl_of_equals_is_zero():
    for estimator in (k1, k2, k3):
        assert torch.equal(estimator(OLD - OLD), torch.zeros_like(OLD))


def test_kl_estimators_average_to_the_kl_of_a_known_pair():
    policy, reference = (torch.tensor(p, dtype=torch.float64).log() for p in ([0.5, 0.3, 0.2], [0.4, 0.4, 0.2]))
    exact = (policy.exp() * (policy - reference)).sum()
    for estimator in (k1, k3):
        torch.testing.assert_close((policy.exp() * estimator(policy - reference)).sum(), exact)
    assert (k3(policy - reference) >= 0).all()
    torch.testing.assert_close(k2(policy - reference), (policy - reference) ** 2 / 2)


def test_k2_as_a_loss_has_the_gradient_of_the_kl():
    logits = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([0.4, 0.4, 0.2], dtype=torch.float64).log()
    policy = logits.log_softmax(0)
    (exact,) = torch.autograd.grad((policy.exp() * (policy - reference)).sum(), logits, retain_graph=True)
    (by_k2,) = torch.autograd.grad((policy.exp().detach() * k2(policy - reference)).sum(), logits)
    torch.testing.assert_close(by_k2, exact)
