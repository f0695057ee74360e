"""What a stage's update computes is the objective as it is written, kernels on or off; one of one's own too."""

from dataclasses import fields, replace
from functools import partial
from typing import get_args

import pytest
import torch
from policy_oracle import truth

from cogrl.lm_head import Kind, PolicyLossConfig
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.objectives.reduce import sequence_mean
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling
from cogrl.stages import DrSapo, Grpo
from cogrl.stages.objective import Objective

SAMPLING = Sampling(temperature=0.8, max_new_tokens=9)


def sapo(ratio, advantages):
    tau = torch.where(advantages > 0, 3.0, 5.0)
    return -advantages * torch.sigmoid(tau * (ratio - 1)) * 4 / tau


def grpo(ratio, advantages):
    return -torch.minimum(ratio * advantages, ratio.clamp(0.9, 1.3) * advantages)


def anchored(ratio, advantages, strength):
    """One of one's own, which trains tokens of zero advantage too."""
    return -ratio * advantages + strength * (ratio - 1) ** 2


OWN = f"{__name__}.anchored"
STAGES = {
    "sapo": (DrSapo, Objective("sapo", tau_pos=3.0, tau_neg=5.0), sapo),
    "grpo": (Grpo, Objective("grpo", clip_low=0.1, clip_high=0.3), grpo),
    "own": (Grpo, Objective(OWN, options={"strength": 0.6}), partial(anchored, strength=0.6)),
}


@pytest.fixture
def rollouts(policy, clips):
    """Four groups of three in both formats, sampled by a policy that differs from the one in training."""
    torch.manual_seed(0)
    sampled = HFEngine().sample(policy, clips, ["eips", "direct", "eips", "direct"], SAMPLING, group_size=3)
    old = sampled.sampling_logprobs + 0.4 * torch.randn(sampled.sampling_logprobs.shape) * sampled.completions.mask
    return replace(sampled, sampling_logprobs=old, advantages=torch.randn(len(sampled)))


def gradients(policy):
    return torch.cat([p.grad.flatten() for p in policy.parameters() if p.grad is not None])


@pytest.mark.parametrize("switches", [{}, {"share_prompt": False, "head": "reference"}], ids=["kernels", "plain"])
@pytest.mark.parametrize("name", STAGES)
def test_an_update_has_the_loss_and_gradient_of_the_written_objective(tiny_policy_dir, rollouts, name, switches):
    kind, objective, written = STAGES[name]
    policy = Qwen2Audio(str(tiny_policy_dir), **switches).load()
    rollouts = replace(rollouts, advantages=rollouts.advantages.masked_fill(torch.arange(len(rollouts)) == 4, 0.0))
    stage = kind(policy, objective, sampling=SAMPLING, group_size=3)
    stage.log_update = lambda metrics: None
    loss = stage.update(rollouts)
    loss.backward()
    ours = gradients(policy)
    policy.zero_grad()

    mask = rollouts.completions.mask
    tokens = policy.token_logprobs(rollouts.prompts, rollouts.completions, SAMPLING.temperature, 3)
    per_token = written((tokens.logprobs - rollouts.sampling_logprobs).exp(), rollouts.advantages[:, None])
    expected = sequence_mean(per_token, mask, len(rollouts))
    expected.backward()
    truth = gradients(policy)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert (ours - truth).norm() < 1e-5 * truth.norm()


def test_without_settings_the_temperatures_are_sapos_and_the_formats_weigh_the_same(policy, rollouts):
    stage = DrSapo(policy)
    loss = stage.objective.loss(rollouts.row_formats, stage.formats, limit=9)
    assert loss.kind == "sapo" and loss.taus == (1.0, 1.05)
    assert (stage.group_size, stage.updates_per_rollout, stage.passes) == (8, 2, 1)
    assert stage.formats == ("eips", "direct") and stage.format_weights == {"eips": 1.0, "direct": 1.0}


def test_the_head_of_the_policy_computes_its_updates_and_its_scores(policy, rollouts):
    stage = DrSapo(policy, sampling=SAMPLING, group_size=3)
    policy.head_impl = "triton"  # which a CPU can not
    with pytest.raises((ValueError, NotImplementedError), match="linear_policy_loss: impl='triton'"):
        stage.update(rollouts)
    with pytest.raises((ValueError, NotImplementedError), match="linear_logprob: impl='triton'"):
        policy.token_logprobs(rollouts.prompts, rollouts.completions, group_size=3)


def test_telemetry_tells_formats_and_signs_apart(policy, rollouts):
    formats = torch.tensor([format == "eips" for format in rollouts.row_formats])
    advantages = torch.where(formats, 1.0, -1.0)  # A is only praised, B only blamed
    far = rollouts.sampling_logprobs - 2.0 * formats[:, None]  # and only A has drifted
    stage = DrSapo(policy, Objective("sapo", tau_pos=10.0, tau_neg=0.1), sampling=SAMPLING, group_size=3)
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


def test_a_stage_reaches_every_setting_of_the_loss():
    ours, theirs = ({field.name: field for field in fields(kind)} for kind in (Objective, PolicyLossConfig))
    assert ours.keys() == theirs.keys() - {"n_routes"}
    assert all(ours[name].default == theirs[name].default for name in ours if name != "kind")


def test_the_metrics_of_an_own_objective_are_those_of_ours(policy, rollouts):
    seen = []
    for objective in (Objective("grpo", clip_low=0.1, clip_high=0.3), Objective(f"{__name__}.grpo")):
        stage = Grpo(policy, objective, sampling=SAMPLING, group_size=3)
        stage.log_update = seen.append
        stage.update(rollouts)
    ours, own = seen
    assert 0.1 < ours["clipped"] < 0.9
    for name in ours:
        torch.testing.assert_close(own[name], ours[name], rtol=1e-5, atol=1e-5, equal_nan=True)


def test_an_own_objective_is_refused_where_the_policy_demands_triton(policy, rollouts):
    stage = Grpo(policy, Objective(OWN, options={"strength": 0.6}), sampling=SAMPLING, group_size=3)
    policy.head_impl = "triton"
    with pytest.raises(NotImplementedError, match=r"anchored' is a Python function, which runs in PyTorch; pass impl="):
        stage.update(rollouts)


@pytest.mark.parametrize("settings", [{}, {"reduction": "token_mean"}, {"reduction": "fixed_length", "length": 7}])
@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_and_denominator_is_the_written_loss(policy, rollouts, kind, settings):
    objective = Objective(kind, kl_coef=0.3, entropy_coef=0.02, is_cap=1.3, **settings)
    stage = Grpo(policy, objective, reference="elsewhere", sampling=SAMPLING, group_size=3)
    stage.log_update = lambda metrics: None
    mask, g = rollouts.completions.mask, torch.Generator().manual_seed(5)
    old, ref = (rollouts.sampling_logprobs + 0.3 * torch.randn(mask.shape, generator=g) * mask for _ in range(2))
    loss = stage.update(replace(rollouts, old_logprobs=old, ref_logprobs=ref))
    scored = policy.token_logprobs(rollouts.prompts, rollouts.completions, SAMPLING.temperature, 3)
    call = {"logprobs": scored.logprobs.detach(), "entropy": scored.entropy.detach(), "old_logprobs": old}
    call |= {"ref_logprobs": ref, "rollout_logprobs": rollouts.sampling_logprobs}
    call = {name: x[mask] for name, x in call.items()}
    call |= {"advantages": rollouts.advantages, "cu_seqlens": torch.tensor([0, *mask.sum(1).cumsum(0)])}
    expected = truth(call, objective.loss(rollouts.row_formats, stage.formats, limit=SAMPLING.max_new_tokens))
    assert loss.item() == pytest.approx(expected.loss, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "sapo", "tau_pos": 0.0}, "tau_pos=0.0 must be positive"),
        ({"kind": "sapo", "tau_neg": {"eips": 1.0, "direct": -1.0}}, "tau_neg=-1.0 must be positive"),
        ({"kind": "grpo", "clip_low": 1.5}, "clip_low=1.5"),
        ({"kind": "cispo", "clip_low": 0.1}, "clip_low=0.1 has no meaning for kind='cispo'"),
        ({"kind": "reinforce", "tau_pos": {"eips": 1.0}}, "tau_pos=1.0 has no meaning for kind='reinforce'"),
        ({"kind": "dr_grpo", "length": 0}, "length=0"),
        ({"kind": "grpo", "length": 9}, "length=9 has no meaning"),
        ({"kind": "grpo", "is_cap": 0.0}, "is_cap=0.0 must be positive"),
        ({"kind": "grpo", "kl_coef": -0.1}, "kl_coef=-0.1 would push"),
        ({"kind": OWN}, "anchored' asks for 'strength', which it is not given"),
        ({"kind": OWN, "options": {"strength": 1.0}, "tau_pos": {"eips": 1.0}}, "tau_pos=1.0 has no meaning for kind="),
    ],
)
def test_settings_out_of_range_or_without_use_are_refused_before_anything_is_loaded(settings, message):
    with pytest.raises(ValueError, match=message):
        Objective(**settings)
