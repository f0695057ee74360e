"""A policy that does not move between the updates of a rollout makes every gate and clip inert: a warning."""

import math
import warnings

import pytest
import torch
from test_rl import CountsTokens, fit, stage_of

from cogrl.stages import DrSapo
from cogrl.stages.drift import DriftMonitor
from cogrl.stages.optim import Optim

STILL, MOVING = (1e-3, 1e-3), (1e-3, 3e-3)


def said(watch, *rollouts):
    """The warnings about rollouts of which each is given by the drift of its updates."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        step = 0
        for drifts in (*rollouts, MOVING):  # the last rollout is judged when another begins
            for update, drift in enumerate(drifts):
                watch.add(drift, step + update, step)
            step += len(drifts)
    return [str(warning.message) for warning in found]


def test_five_still_rollouts_in_a_row_are_said_aloud_once():
    (text,) = said(DriftMonitor(), *[STILL] * 12, MOVING, *[STILL] * 12)
    assert "5 rollouts" in text and "inert" in text and "optim.lr" in text and "1.0e-03" in text


def test_four_are_not_and_one_that_moves_begins_the_count_anew():
    assert said(DriftMonitor(), *[STILL] * 4, MOVING, *[STILL] * 4) == []
    assert len(said(DriftMonitor(), *[STILL] * 4, MOVING, *[STILL] * 5)) == 1


def test_a_count_goes_on_where_a_checkpoint_left_it():
    first, second = DriftMonitor(), DriftMonitor()
    assert said(first, *[STILL] * 3) == []
    first.add(STILL[0], 100, 100)
    state = first.state_dict()
    first.add(STILL[0], 101, 100)  # what is added later is no part of it
    second.load_state_dict(state)
    assert (second.still, second.first, second.later) == (0, [STILL[0]], []) and second.sampled_at == 100
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second.add(STILL[1], 101, 100)


def test_noise_that_varies_a_little_is_no_movement_and_more_is():
    assert len(said(DriftMonitor(), *[(1e-3, 1.05e-3), (1e-3, 0.2e-3)] * 3)) == 1
    assert said(DriftMonitor(), *[(1e-3, 1.2e-3)] * 9) == []


def test_all_later_updates_count_together():
    assert said(DriftMonitor(), *[(1e-3, 1e-3, 1e-3, 5e-3)] * 9) == []
    assert len(said(DriftMonitor(), *[(1e-3, 1e-3, 1e-3, 1e-3)] * 9)) == 1


@pytest.mark.parametrize("drifts", [(1e-3,), (0.0, math.nan), (math.nan, 0.0)])
def test_what_can_not_be_compared_is_no_reason_to_warn(drifts):
    assert said(DriftMonitor(), *[drifts] * 9) == []


def test_an_exact_zero_is_no_movement():
    assert len(said(DriftMonitor(), *[(0.0, 0.0)] * 5)) == 1


def test_a_frozen_policy_is_noticed_in_training_and_one_that_learns_is_not_blamed(policy, clips):
    for lr, expected in ((1e-3, 0), (0.0, 1)):
        torch.manual_seed(0)
        stage = stage_of(DrSapo, policy, CountsTokens(), optim=Optim(lr=lr))
        stage.drift = DriftMonitor(rollouts=1)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            fit(stage, clips, steps=20)
        assert len([w for w in found if "inert" in str(w.message)]) == expected


def test_accumulated_micro_batches_belong_to_their_update(policy, clips):
    stage = stage_of(DrSapo, policy, CountsTokens(), updates_per_rollout=2)
    seen = []
    stage.drift.add = lambda drift, step, sampled_at: seen.append((step, sampled_at, drift > 1e-4))
    fit(stage, clips, steps=4, accumulate=2)
    assert seen == [(step, step - step % 2, step % 2 == 1) for step in (0, 0, 1, 1, 2, 2, 3, 3)]
