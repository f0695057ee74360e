"""Groups are islands: what happens in one never moves another."""

import statistics

import pytest
import torch

from cogrl.objectives.advantages import group_centred, group_normalised
from cogrl.objectives.grpo import grpo
from cogrl.objectives.reduce import sequence_mean
from cogrl.objectives.sapo import sapo

BOTH = pytest.mark.parametrize("advantages", [group_normalised, group_centred])


def rewards(groups=3, size=4, seed=0):
    return torch.rand(groups * size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_it_equals_the_formula_written_as_a_float_loop():
    values = rewards()
    got = group_normalised(values, 4).tolist()
    for start in range(0, 12, 4):
        group = values[start : start + 4].tolist()
        mean, std = statistics.fmean(group), statistics.pstdev(group)
        assert got[start : start + 4] == pytest.approx([(r - mean) / (std + 1e-6) for r in group], rel=1e-9)


@BOTH
@pytest.mark.parametrize("value", [0.0, 0.1, 1.0, -3.7])
def test_equal_rewards_carry_no_signal(advantages, value):
    logprobs = (-torch.rand(8, 5)).requires_grad_()
    signal = advantages(torch.full((8,), value), 8)
    assert torch.equal(signal, torch.zeros(8))
    mask = torch.ones(8, 5).bool()
    for objective in (sapo, grpo):
        sequence_mean(objective(logprobs, logprobs.detach() - 0.3, signal, mask), mask, 8).backward()
    assert torch.equal(logprobs.grad, torch.zeros(8, 5))


@BOTH
def test_the_rewards_of_one_format_do_not_move_the_advantages_of_the_other(advantages):
    before = rewards(groups=2)
    after = before.clone()
    after[4:] *= 10
    assert torch.equal(advantages(before, 4)[:4], advantages(after, 4)[:4])


def test_normalised_advantages_do_not_depend_on_the_scale_of_the_rewards():
    torch.testing.assert_close(
        group_normalised(rewards() * 10 - 5, 4, eps=0.0), group_normalised(rewards(), 4, eps=0.0)
    )


@BOTH
def test_permuting_a_group_permutes_its_advantages(advantages):
    values, order = rewards(), torch.tensor([2, 0, 3, 1, 5, 4, 7, 6, 8, 11, 9, 10])
    torch.testing.assert_close(advantages(values[order], 4), advantages(values, 4)[order], rtol=1e-12, atol=1e-12)


@BOTH
def test_every_group_sums_to_zero_and_keeps_its_order(advantages):
    values = rewards()
    grouped = advantages(values, 4).view(3, 4)
    torch.testing.assert_close(grouped.sum(1), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)
    assert torch.equal(grouped.argsort(1), values.view(3, 4).argsort(1))


@BOTH
def test_rounding_noise_is_not_amplified_into_a_signal(advantages):
    assert torch.equal(advantages(torch.tensor([0.7, 0.7 + 6e-8, 0.7, 0.7]), 4), torch.zeros(4))


@BOTH
def test_a_group_of_one_is_zero_and_not_nan(advantages):
    assert torch.equal(advantages(torch.tensor([1.0, 5.0]), 1), torch.zeros(2))


@BOTH
def test_batches_that_are_not_whole_groups_are_refused(advantages):
    with pytest.raises(ValueError, match="batch of 12 rollouts is not a multiple of group_size=8"):
        advantages(torch.rand(12), 8)
    with pytest.raises(ValueError, match="empty"):
        advantages(torch.rand(0), 8)
    with pytest.raises(ValueError, match="group_size=0"):
        advantages(torch.rand(4), 0)


@BOTH
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_reward_that_is_no_number_is_refused_and_named(advantages, bad):
    with pytest.raises(ValueError, match=r"rollouts \[5\] are not finite"):
        advantages(torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0, bad, 1.0, 1.0]), 4)
