"""What a stage's update computes is the objective of `cogrl.objectives`, kernels on or off."""

from dataclasses import replace

import pytest
import torch

from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.objectives.grpo import grpo
from cogrl.objectives.reduce import sequence_mean
from cogrl.objectives.sapo import sapo
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling
from cogrl.stages import DrSapo, Grpo

SAMPLING = Sampling(temperature=0.8, max_new_tokens=9)
STAGES = {
    "sapo": (DrSapo, {"tau_pos": 3.0, "tau_neg": 5.0}, sapo),
    "grpo": (Grpo, {"clip_low": 0.1, "clip_high": 0.3}, grpo),
}


@pytest.fixture
def rollouts(policy, clips):
    """Four groups of three on both routes, sampled by a policy that differs from the one in training."""
    torch.manual_seed(0)
    sampled = HFEngine().sample(policy, clips, ["A", "B", "A", "B"], SAMPLING, group_size=3)
    old = sampled.sampling_logprobs + 0.4 * torch.randn(sampled.sampling_logprobs.shape) * sampled.completions.mask
    return replace(sampled, sampling_logprobs=old, advantages=torch.randn(len(sampled)))


def gradients(policy):
    return torch.cat([p.grad.flatten() for p in policy.parameters() if p.grad is not None])


@pytest.mark.parametrize("switches", [{}, {"share_prompt": False, "head": "reference"}], ids=["kernels", "plain"])
@pytest.mark.parametrize("name", STAGES)
def test_an_update_has_the_loss_and_gradient_of_the_written_objective(tiny_policy_dir, rollouts, name, switches):
    kind, settings, objective = STAGES[name]
    policy = Qwen2Audio(str(tiny_policy_dir), **switches).load()
    stage = kind(policy, sampling=SAMPLING, group_size=3, **settings)
    stage.log_update = lambda metrics: None
    loss = stage.update(rollouts)
    loss.backward()
    ours = gradients(policy)
    policy.zero_grad()

    mask = rollouts.completions.mask
    tokens = policy.token_logprobs(rollouts.prompts, rollouts.completions, SAMPLING.temperature, 3)
    per_token = objective(tokens.logprobs, rollouts.sampling_logprobs, rollouts.advantages, mask, **settings)
    expected = sequence_mean(per_token, mask, len(rollouts))
    expected.backward()
    truth = gradients(policy)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert (ours - truth).norm() < 1e-5 * truth.norm()


def test_without_settings_the_temperatures_are_sapos_and_the_routes_weigh_the_same(policy, rollouts):
    stage = DrSapo(policy)
    config = stage.objective(rollouts)
    assert (
        config.kind == "sapo" and (config.tau_pos == 1.0).all() and torch.allclose(config.tau_neg, torch.tensor(1.05))
    )
    assert (stage.group_size, stage.updates_per_rollout, stage.passes) == (8, 2, 1)
    assert stage.routes == ("A", "B") and stage.route_weights == {"A": 1.0, "B": 1.0}


def test_the_head_of_the_policy_computes_its_updates_and_its_scores(policy, rollouts):
    stage = DrSapo(policy, sampling=SAMPLING, group_size=3)
    policy.head = "triton"  # which a CPU can not
    with pytest.raises((ValueError, NotImplementedError), match="linear_policy_loss: impl='triton'"):
        stage.update(rollouts)
    with pytest.raises((ValueError, NotImplementedError), match="linear_logprob: impl='triton'"):
        policy.token_logprobs(rollouts.prompts, rollouts.completions, group_size=3)


def test_telemetry_tells_routes_and_signs_apart(policy, rollouts):
    routes = torch.tensor([route == "A" for route in rollouts.row_routes])
    advantages = torch.where(routes, 1.0, -1.0)  # A is only praised, B only blamed
    far = rollouts.sampling_logprobs - 2.0 * routes[:, None]  # and only A has drifted
    stage = DrSapo(policy, sampling=SAMPLING, group_size=3, tau_pos=10.0, tau_neg=0.1)
    seen = []
    stage.log_update = seen.append
    stage.update(replace(rollouts, advantages=advantages, sampling_logprobs=far))
    (metrics,) = seen
    assert metrics.of(0, "pos")["gate"] < 0.2 < 0.9 < metrics.of(1, "neg")["gate"]
    assert metrics.of(0, "neg")["tokens"] == metrics.of(1, "pos")["tokens"] == 0
    assert metrics["tokens"] == rollouts.completions.mask.sum()


def test_an_update_without_a_single_finite_log_probability_is_refused(policy, rollouts):
    stage = DrSapo(policy, sampling=SAMPLING, group_size=3)
    with torch.no_grad():
        policy.lm_head_weight.fill_(torch.nan)
    with pytest.raises(RuntimeError, match="of this update has finite log-probabilities"):
        stage.update(rollouts)


@pytest.mark.parametrize(("kind", "bad"), [(DrSapo, {"tau_pos": 0.0}), (Grpo, {"clip_low": 1.5})])
def test_settings_out_of_range_are_refused_before_anything_is_loaded(tiny_policy_dir, kind, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        kind(Qwen2Audio(str(tiny_policy_dir)), **bad)
