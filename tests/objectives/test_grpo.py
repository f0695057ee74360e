"""GRPO's clip, plain REINFORCE, and the KL estimators. Its relatives are in test_gspo_cispo."""

import math

import pytest
import torch

from cogrl.objectives.grpo import clip_fraction, grpo
from cogrl.objectives.kl import k1, k2, k3
from cogrl.objectives.reinforce import reinforce

ALL = torch.ones(1, 5).bool()
OLD = torch.full((1, 5), -2.0, dtype=torch.float64)
RATIOS = torch.tensor([[0.5, 0.85, 1.0, 1.25, 1.5]], dtype=torch.float64)


def gradient(function, logprobs, *args, **kwargs):
    leaf = logprobs.clone().requires_grad_()
    function(leaf, *args, **kwargs).sum().backward()
    return leaf.grad


@pytest.mark.parametrize("advantage, kept", [(2.0, [1, 1, 1, 1, 0]), (-2.0, [0, 1, 1, 1, 1])])
def test_the_clip_removes_only_updates_that_go_further_away(advantage, kept):
    a = torch.tensor([advantage], dtype=torch.float64)
    logprobs = OLD + RATIOS.log()
    grad = gradient(grpo, logprobs, OLD, a, ALL, clip_low=0.2, clip_high=0.28)
    torch.testing.assert_close(grad, -advantage * RATIOS * torch.tensor([kept]))
    assert clip_fraction(logprobs, OLD, a, ALL, clip_low=0.2, clip_high=0.28).item() == pytest.approx(1 / 5)


def test_it_equals_the_formula_written_as_a_float_loop():
    logprobs = OLD + RATIOS.log()
    for advantage in (1.3, -0.7, 0.0):
        loss = grpo(logprobs, OLD, torch.tensor([advantage], dtype=torch.float64), ALL, clip_low=0.1, clip_high=0.3)
        for got, r in zip(loss[0].tolist(), RATIOS[0].tolist(), strict=True):
            assert got == pytest.approx(-min(r * advantage, min(max(r, 0.9), 1.3) * advantage), rel=1e-12)


def test_on_policy_it_is_reinforce():
    logprobs = -torch.rand(3, 5, dtype=torch.float64)
    advantages = torch.tensor([1.0, -2.0, 0.0], dtype=torch.float64)
    mask = torch.rand(3, 5) > 0.4
    expected = gradient(reinforce, logprobs, advantages, mask)
    torch.testing.assert_close(gradient(grpo, logprobs, logprobs, advantages, mask), expected)
    torch.testing.assert_close(expected, -advantages[:, None] * mask)


@pytest.mark.parametrize("poison", [200.0, math.nan, math.inf, -math.inf])
def test_a_masked_token_is_harmless_whatever_it_holds(poison):
    logprobs = OLD.clone()
    logprobs[0, 2] = poison
    mask = torch.tensor([[True, True, False, True, True]])
    a = torch.ones(1, dtype=torch.float64)
    for function, args in ((grpo, (OLD, a, mask)), (reinforce, (a, mask)), (k1, (OLD, mask)), (k3, (OLD, mask))):
        assert function(logprobs, *args).isfinite().all()
        grad = gradient(function, logprobs, *args)
        assert grad.isfinite().all() and grad[0, 2] == 0
    assert clip_fraction(logprobs, OLD, a, mask) == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_bad_token_does_not_train(bad):
    logprobs = OLD + 0.1
    logprobs[0, 2] = bad
    a = torch.ones(1, dtype=torch.float64)
    for function, args in ((grpo, (OLD, a)), (reinforce, (a,)), (k1, (OLD,)), (k2, (OLD,)), (k3, (OLD,))):
        value, grad = function(logprobs, *args, ALL), gradient(function, logprobs, *args, ALL)
        assert value[0, 2] == 0 and grad[0, 2] == 0 and value.isfinite().all()
        assert (grad[0, [0, 1, 3, 4]] != 0).all()


def test_clip_fraction_of_nothing_is_zero():
    assert clip_fraction(OLD, OLD, torch.ones(1, dtype=torch.float64), torch.zeros(1, 5).bool()) == 0


def test_impossible_clip_bounds_are_refused():
    with pytest.raises(ValueError, match=r"clip_low=1.2"):
        grpo(OLD, OLD, torch.ones(1, dtype=torch.float64), ALL, clip_low=1.2)


def test_kl_of_equals_is_zero():
    for estimator in (k1, k2, k3):
        assert torch.equal(estimator(OLD, OLD, ALL), torch.zeros_like(OLD))


def test_kl_estimators_average_to_the_kl_of_a_known_pair():
    policy = torch.tensor([0.5, 0.3, 0.2, 0.0, 0.0], dtype=torch.float64)[:3].log()[None]
    reference = torch.tensor([0.4, 0.4, 0.2], dtype=torch.float64).log()[None]
    mask = torch.ones(1, 3).bool()
    exact = (policy.exp() * (policy - reference)).sum()
    for estimator in (k1, k3):
        torch.testing.assert_close((policy.exp() * estimator(policy, reference, mask)).sum(), exact)
    assert (k3(policy, reference, mask) >= 0).all()
    torch.testing.assert_close(k2(policy, reference, mask), (policy - reference) ** 2 / 2)


def test_k2_as_a_loss_has_the_gradient_of_the_kl():
    logits = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([[0.4, 0.4, 0.2]], dtype=torch.float64).log()
    mask = torch.ones(1, 3).bool()
    policy = logits.log_softmax(0)[None]
    (exact,) = torch.autograd.grad((policy.exp() * (policy - reference)).sum(), logits, retain_graph=True)
    weights = policy.exp().detach()
    (by_k2,) = torch.autograd.grad((weights * k2(policy, reference, mask)).sum(), logits)
    torch.testing.assert_close(by_k2, exact)
