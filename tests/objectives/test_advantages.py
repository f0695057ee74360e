"""Groups are independent: the rewards of one never change another's advantages, and failed rewards change none."""

import math
import statistics

import pytest
import torch
from cogrl_kernels.policy_loss import PolicyLossConfig, policy_loss

from cogrl.objectives.advantages import ESTIMATORS, Advantages

HERE, NAN = __name__, math.nan
EACH = pytest.mark.parametrize("name", ESTIMATORS)


def rewards(groups=3, size=4, seed=0):
    return torch.rand(groups * size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_hand(name, group):
    """Over floats: the failed ones (NaN) are no part of the group, and get 0."""
    there = [r for r in group if not math.isnan(r)]
    if len(there) < 2:
        return [0.0] * len(group)
    mean = statistics.fmean(there)
    of_one = {
        "group_normalised": lambda r: (r - mean) / (statistics.pstdev(there) + 1e-6),
        "group_centred": lambda r: r - mean,
        "leave_one_out": lambda r: r - (sum(there) - r) / (len(there) - 1),
    }[name]
    return [0.0 if math.isnan(r) else of_one(r) for r in group]


@EACH
@pytest.mark.parametrize("failed", [(), (2,), (0, 3, 4), (8, 9, 10), (8, 9, 10, 11)])
def test_it_equals_the_formula_written_as_a_float_loop_over_what_did_not_fail(name, failed):
    values = rewards()
    values[list(failed)] = NAN
    found = Advantages(name)(values, 4).tolist()
    for start in range(0, 12, 4):
        # where some failed, the eps of group_normalised is added to a slightly other deviation
        expected = by_hand(name, values[start : start + 4].tolist())
        assert found[start : start + 4] == pytest.approx(expected, rel=1e-5 if failed else 1e-9, abs=1e-12)


@EACH
@pytest.mark.parametrize("value", [0.0, 0.1, 1.0, -3.7])
def test_equal_rewards_carry_no_signal(name, value):
    logprobs = (-torch.rand(40)).requires_grad_()
    signal = Advantages(name)(torch.full((8,), value), 8)
    assert torch.equal(signal, torch.zeros(8))
    for kind in ("sapo", "grpo"):
        old, cuts = logprobs.detach() - 0.3, torch.arange(0, 41, 5)
        policy_loss(logprobs, signal, cuts, config=PolicyLossConfig(kind), old_logprobs=old).loss.backward()
    assert torch.equal(logprobs.grad, torch.zeros(40))


@EACH
def test_the_rewards_of_one_format_do_not_move_the_advantages_of_the_other(name):
    before = rewards(groups=2)
    after = before.clone()
    after[4:] *= 10
    assert torch.equal(Advantages(name)(before, 4)[:4], Advantages(name)(after, 4)[:4])


def test_normalised_advantages_do_not_depend_on_the_scale_of_the_rewards():
    normalised = Advantages("group_normalised")
    torch.testing.assert_close(normalised(rewards() * 10 - 5, 4), normalised(rewards(), 4), rtol=1e-4, atol=1e-5)


@EACH
def test_permuting_a_group_permutes_its_advantages(name):
    values, order = rewards(), torch.tensor([2, 0, 3, 1, 5, 4, 7, 6, 8, 11, 9, 10])
    advantages = Advantages(name)
    torch.testing.assert_close(advantages(values[order], 4), advantages(values, 4)[order], rtol=1e-12, atol=1e-12)


@EACH
def test_every_group_sums_to_zero_and_keeps_its_order(name):
    values = rewards()
    found = Advantages(name)(values, 4).view(3, 4)
    torch.testing.assert_close(found.sum(1), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)
    assert torch.equal(found.argsort(1), values.view(3, 4).argsort(1))


@EACH
def test_rounding_noise_is_not_amplified_into_a_signal(name):
    assert torch.equal(Advantages(name)(torch.tensor([0.7, 0.7 + 6e-8, 0.7, 0.7]), 4), torch.zeros(4))


@EACH
def test_a_group_that_varies_no_more_than_the_tolerance_has_no_signal(name):
    values = torch.tensor([0.0, 0.1, 0.0, 0.1, 0.0, 1.0, 0.0, 1.0])
    found = Advantages(name)(values, 4, variance_tolerance=0.01).view(2, 4)
    assert (found[0] == 0).all() and (found[1] != 0).all()


@EACH
def test_a_group_of_one_is_zero_and_not_nan(name):
    assert torch.equal(Advantages(name)(torch.tensor([1.0, 5.0]), 1), torch.zeros(2))


@EACH
def test_batches_that_are_not_whole_groups_are_refused(name):
    advantages = Advantages(name)
    with pytest.raises(ValueError, match="batch of 12 rollouts is not a multiple of group_size=8"):
        advantages(torch.rand(12), 8)
    with pytest.raises(ValueError, match="empty"):
        advantages(torch.rand(0), 8)
    with pytest.raises(ValueError, match="group_size=0"):
        advantages(torch.rand(4), 0)


@EACH
def test_an_infinite_reward_is_refused_and_named(name):
    with pytest.raises(ValueError, match=r"rewards of rollouts \[5\] are not finite: \[inf\]"):
        Advantages(name)(torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0, math.inf, 1.0, 1.0]), 4)


def best_of_group(rewards):
    return (rewards == rewards.amax(1, keepdim=True)).float() - 0.5


def scored_mean(rewards, scored, scale=2.0):
    mean = (rewards * scored).sum(1, keepdim=True) / scored.sum(1, keepdim=True)
    return scale * (rewards - mean)


def one_a_group(rewards):
    return rewards.amax(1)


def a_list(rewards):
    return rewards.tolist()


def without_eps(rewards):
    return (rewards - rewards.mean(1, keepdim=True)) / rewards.std(1, keepdim=True)


def of_the_prompt(rewards, prompts):
    return rewards - prompts


def broken(rewards):
    return rewards @ rewards


def large_is_infinite(rewards):
    return torch.where(rewards > 5, torch.inf, rewards)


def test_a_function_of_ones_own_is_used_as_it_is_and_a_failed_reward_stays_without_advantage():
    values = torch.tensor([1.0, 3.0, NAN, 2.0, 0.5, 0.5, 0.5, 0.5])
    assert Advantages(f"{HERE}.best_of_group")(values, 4).tolist() == [-0.5, 0.5, 0, -0.5, 0.5, 0.5, 0.5, 0.5]
    assert Advantages(f"{HERE}.scored_mean")(values, 4).tolist() == [-2, 2, 0, 0, 0, 0, 0, 0]
    nothing = torch.full((4,), NAN)  # the mean of no reward is NaN, and is not needed
    assert Advantages(f"{HERE}.scored_mean")(torch.cat([values, nothing]), 4)[8:].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("group_normalized", "advantages='group_normalized' is unknown; did you mean 'group_normalised'. pass one of"),
        ("nowhere.mine", "advantages='nowhere.mine' can not be imported: ModuleNotFoundError"),
        (f"{HERE}.best_of_groups", "did you mean 'best_of_group'. .* has no 'best_of_groups'"),
        (f"{HERE}.one_a_group", r"returned \(2,\) for rewards \(2, 4\); return one number for each reward"),
        (f"{HERE}.a_list", "returned a list for rewards"),
        (f"{HERE}.without_eps", r"returned \[nan, nan, nan, nan\] for a group of rewards \[0.5, 0.5, 0.5, 0.5\]"),
        (f"{HERE}.of_the_prompt", "asks for 'prompts', which it is not given; there are rewards, scored, variance_tol"),
        (f"{HERE}.broken", "failed on two groups of 4 rewards: RuntimeError"),
    ],
)
def test_a_wrong_name_or_a_function_that_returns_no_advantages_is_refused_at_once(name, message):
    with pytest.raises(ValueError, match=message):
        Advantages(name)


def test_a_function_that_stops_being_finite_in_training_is_refused_with_the_group():
    with pytest.raises(ValueError, match=r"large_is_infinite' returned \[1.0, inf\] for a group of rewards \[1.0, 9"):
        Advantages(f"{HERE}.large_is_infinite")(torch.tensor([0.0, 1.0, 1.0, 9.0]), 2)
