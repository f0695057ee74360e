"""SAPO against its closed form, its limits, and the NaN hazards of exp."""

import math

import pytest
import torch

from cogrl.objectives.ratio import bad_tokens, importance_ratio
from cogrl.objectives.sapo import sapo, sapo_gate

TAUS = [0.3, 1.0, 1.05, 10.0, 12.0]


def gradient(logprobs, old, advantages, mask, **kwargs):
    leaf = logprobs.clone().requires_grad_()
    loss = sapo(leaf, old, advantages, mask, **kwargs)
    loss.sum().backward()
    return loss.detach(), leaf.grad


def case(sign=1.0, tokens=401):
    """One sequence whose log-ratios run from -2 to 2, in float64."""
    old = -torch.rand(1, tokens, dtype=torch.float64) - 2.5
    log_ratio = torch.linspace(-2, 2, tokens, dtype=torch.float64)[None]
    return old + log_ratio, old, torch.tensor([1.7 * sign], dtype=torch.float64), torch.ones(1, tokens).bool()


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("tau", TAUS)
def test_gradient_is_the_gated_policy_gradient_of_equation_7(tau, sign):
    logprobs, old, advantages, mask = case(sign)
    # the temperature of the other sign is wrong on purpose: reading it shows
    taus = {"tau_pos": tau, "tau_neg": 3.3} if sign > 0 else {"tau_pos": 3.3, "tau_neg": tau}
    _, grad = gradient(logprobs, old, advantages, mask, **taus)
    ratio = (logprobs - old).exp()
    gate = torch.cosh(tau * (ratio - 1) / 2) ** -2
    torch.testing.assert_close(grad, -advantages[:, None] * ratio * gate, rtol=0, atol=1e-10)
    torch.testing.assert_close(sapo_gate(logprobs, old, advantages, mask, **taus), gate, rtol=0, atol=1e-12)


@pytest.mark.parametrize("tau", [0.3, 1.0, 10.0])
def test_on_policy_it_is_reinforce_for_every_temperature(tau):
    logprobs = -torch.rand(4, 7, dtype=torch.float64)
    advantages = torch.tensor([1.5, -0.5, 0.0, -2.0], dtype=torch.float64)
    mask = torch.ones(4, 7).bool()
    loss, grad = gradient(logprobs, logprobs, advantages, mask, tau_pos=tau, tau_neg=tau)
    torch.testing.assert_close(grad, -advantages[:, None].expand(4, 7))
    torch.testing.assert_close(loss, (-2 / tau * advantages)[:, None].expand(4, 7))


def test_it_equals_the_formula_written_as_a_float_loop():
    torch.manual_seed(0)
    logprobs, old = -torch.rand(5, 6, dtype=torch.float64) * 3, -torch.rand(5, 6, dtype=torch.float64) * 3
    advantages = torch.randn(5, dtype=torch.float64)
    mask = torch.rand(5, 6) > 0.3
    loss = sapo(logprobs, old, advantages, mask)
    for i in range(5):
        for j in range(6):
            if not mask[i, j]:
                assert loss[i, j] == 0
                continue
            a = advantages[i].item()
            tau = 1.0 if a > 0 else 1.05
            r = math.exp(logprobs[i, j].item() - old[i, j].item())
            expected = -(4 / tau) / (1 + math.exp(-tau * (r - 1))) * a
            assert math.isclose(loss[i, j].item(), expected, rel_tol=1e-12)


@pytest.mark.parametrize("log_ratio, weight", [(0.5, 0.940), (0.8, 0.990), (2.0, 0.786), (5.0, 0.071)])
def test_the_gate_closes_on_both_sides_of_one(log_ratio, weight):
    ratio = torch.tensor([[log_ratio]], dtype=torch.float64)
    gate = sapo_gate(ratio.log(), ratio * 0, torch.ones(1, dtype=torch.float64), torch.ones(1, 1).bool())
    assert gate.item() == pytest.approx(weight, abs=5e-4)


def test_swapped_temperatures_change_the_loss_of_both_signs():
    for sign in (1.0, -1.0):
        right = gradient(*case(sign), tau_pos=1.0, tau_neg=12.0)[1]
        swapped = gradient(*case(sign), tau_pos=12.0, tau_neg=1.0)[1]
        assert (right - swapped).abs().max() > 0.1


def test_a_temperature_may_be_a_tensor_and_keeps_its_digits():
    tensor = torch.tensor(1.05, dtype=torch.float64)
    inputs = case(-1.0)
    by_number, by_tensor = (gradient(*inputs, tau_neg=tau)[1] for tau in (1.05, tensor))
    torch.testing.assert_close(by_number, by_tensor, rtol=1e-12, atol=1e-12)  # in float32 it would be 1e-8 away


@pytest.mark.parametrize("poison", [200.0, -200.0, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_masked_token_is_harmless_whatever_it_holds(poison, dtype):
    old = torch.full((2, 3), -1.0, dtype=dtype)
    logprobs = old + 0.1
    logprobs[0, 1] = poison
    mask = torch.ones(2, 3).bool()
    mask[0, 1] = False
    loss, grad = gradient(logprobs, old, torch.tensor([1.0, -1.0], dtype=dtype), mask)
    assert loss.isfinite().all() and grad.isfinite().all()
    assert loss[0, 1] == 0 and grad[0, 1] == 0
    assert (grad[mask] != 0).all()


@pytest.mark.parametrize("log_ratio", [90.0, 200.0, -200.0, math.inf, -math.inf])
def test_a_clamped_token_has_zero_gradient_and_finite_loss(log_ratio):
    logprobs = torch.tensor([[-1.0 + log_ratio, -0.9]])
    for advantage in (1.0, -1.0):
        loss, grad = gradient(logprobs, torch.full((1, 2), -1.0), torch.tensor([advantage]), torch.ones(1, 2).bool())
        assert loss.isfinite().all() and grad.isfinite().all()
        assert grad[0, 0] == 0 and grad[0, 1] != 0


def test_a_bad_token_does_not_train_and_is_counted():
    logprobs = torch.tensor([[-0.9, math.nan, -math.inf, math.nan]])
    mask = torch.tensor([[True, True, True, False]])
    old = torch.full((1, 4), -1.0)
    loss, grad = gradient(logprobs, old, torch.ones(1), mask)
    assert (loss[0, 1:] == 0).all() and (grad[0, 1:] == 0).all() and loss[0, 0] < 0 and grad[0, 0] < 0
    assert bad_tokens(logprobs, old, mask) == 2
    assert sapo_gate(logprobs, old, torch.ones(1), mask)[0, 1:].tolist() == [0, 0, 0]


def test_the_ratio_is_one_under_the_mask():
    logprobs, mask = torch.tensor([[math.nan, math.inf, -1.0]]), torch.tensor([[False, False, True]])
    assert importance_ratio(logprobs, torch.tensor([[-1.0, -1.0, -1.5]]), mask)[0, :2].tolist() == [1.0, 1.0]


def test_the_old_policy_gets_no_gradient():
    old = torch.full((1, 2), -1.0, requires_grad=True)
    logprobs = torch.full((1, 2), -0.8, requires_grad=True)
    importance_ratio(logprobs, old, torch.ones(1, 2).bool()).sum().backward()
    assert old.grad is None and logprobs.grad is not None


def test_a_temperature_of_zero_says_what_to_do():
    logprobs, old, advantages, mask = case()
    with pytest.raises(ValueError, match=r"tau_neg=0.*must be positive"):
        sapo(logprobs, old, advantages, mask, tau_neg=0)


def test_advantages_of_the_wrong_shape_do_not_broadcast():
    logprobs, old, advantages, mask = case()
    with pytest.raises(Exception, match="advantages"):
        sapo(logprobs, old, advantages[:, None], mask)
