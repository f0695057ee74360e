"""GSPO's sequence ratio and CISPO's capped weight."""

import math

import pytest
import torch

from cogrl.objectives.cispo import cispo
from cogrl.objectives.gspo import gspo
from cogrl.objectives.ratio import sequence_ratio
from cogrl.objectives.reduce import sequence_mean

OLD = torch.tensor([[-2.0, -1.0, -3.0, -0.5], [-1.0, -2.0, -1.5, -0.7]], dtype=torch.float64)
STEP = torch.tensor([[0.4, -0.1, 0.3, 9.0], [-0.2, 0.1, -0.3, 0.2]], dtype=torch.float64)
MASK = torch.tensor([[True, True, True, False], [True, True, True, True]])
SIGNS = torch.tensor([1.5, -0.5], dtype=torch.float64)


def gradient(function, logprobs, *args, **kwargs):
    leaf = logprobs.clone().requires_grad_()
    loss = function(leaf, *args, **kwargs)
    loss.sum().backward()
    return loss.detach(), leaf.grad


def test_the_sequence_ratio_is_the_geometric_mean_over_trained_tokens():
    ratio = sequence_ratio(OLD + STEP, OLD, MASK)
    assert ratio.tolist() == pytest.approx([math.exp(0.6 / 3), math.exp(-0.2 / 4)])


@pytest.mark.parametrize("flip", [1, -1])
@pytest.mark.parametrize("clips", [(0.1, 0.3), (0.01, 0.1), (0.3, 0.01)])
def test_gspo_equals_the_formula_written_as_a_float_loop(flip, clips):
    advantages = SIGNS * flip
    low, high = 1 - clips[0], 1 + clips[1]
    loss, grad = gradient(gspo, OLD + STEP, OLD, advantages, MASK, *clips)
    for i, a in enumerate(advantages.tolist()):
        d = [x for x, m in zip(STEP[i].tolist(), MASK[i].tolist(), strict=True) if m]
        s = math.exp(sum(d) / len(d))
        passes = s <= high if a > 0 else s >= low
        for j in range(4):
            trained = MASK[i, j].item()
            assert loss[i, j].item() == pytest.approx(-min(s * a, min(max(s, low), high) * a) * trained)
            # the loss stands at every token of the sequence, so the sum has the slope of the sequence
            assert grad[i, j].item() == pytest.approx(-a * s * passes * trained)


def test_gspo_uses_the_narrow_bounds_of_its_paper():
    advantages = torch.ones(2, dtype=torch.float64)
    inside, outside = (gradient(gspo, OLD + step, OLD, advantages, MASK)[1] for step in (3.5e-4, 4.5e-4))
    assert (inside[MASK] != 0).all() and (outside == 0).all()


@pytest.mark.parametrize("flip", [1, -1])
def test_cispo_equals_the_formula_written_as_a_float_loop(flip):
    loss, grad = gradient(cispo, OLD + STEP, OLD, SIGNS * flip, MASK, clip_high=0.2)
    for i, a in enumerate((SIGNS * flip).tolist()):
        for j in range(4):
            weight = min(math.exp(STEP[i, j].item()), 1.2) * MASK[i, j].item()
            assert loss[i, j].item() == pytest.approx(-weight * a * (OLD + STEP)[i, j].item())
            assert grad[i, j].item() == pytest.approx(-weight * a)


@pytest.mark.parametrize("function", [gspo, cispo])
def test_on_policy_the_gradient_is_reinforce(function):
    _, grad = gradient(function, OLD, OLD, SIGNS, MASK)
    torch.testing.assert_close(grad, -SIGNS[:, None] * MASK)


@pytest.mark.parametrize("function", [gspo, cispo])
@pytest.mark.parametrize("poison", [200.0, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("trained", [False, True])
def test_one_broken_token_does_no_harm_to_the_others(function, poison, trained):
    logprobs = OLD + 1e-4
    logprobs[0, 1] += poison
    mask = torch.ones(2, 4).bool()
    mask[0, 1] = trained
    loss, grad = gradient(function, logprobs, OLD, -SIGNS, mask)
    assert loss.isfinite().all() and grad.isfinite().all()
    assert (grad[1] != 0).all()
    finite_step = trained and math.isfinite(poison)
    if function is cispo or not finite_step:  # 200 / 4 moves gspo's whole sequence beyond the clamp
        assert (grad[0, [0, 2, 3]] != 0).all()
    assert grad[0, 1] == 0 and (finite_step or loss[0, 1] == 0)


def test_a_sequence_without_tokens_is_zero():
    mask = MASK & torch.tensor([[False], [True]])
    loss, grad = gradient(gspo, OLD + STEP, OLD, -SIGNS, mask)
    assert (loss[0] == 0).all() and (grad[0] == 0).all() and (grad[1] != 0).any()
    assert sequence_mean(loss, mask, 2).isfinite()


def test_impossible_bounds_are_refused():
    with pytest.raises(ValueError, match=r"clip_low=1.2"):
        gspo(OLD, OLD, SIGNS, MASK, clip_low=1.2)
    with pytest.raises(ValueError, match=r"clip_high=-0.1"):
        cispo(OLD, OLD, SIGNS, MASK, clip_high=-0.1)
