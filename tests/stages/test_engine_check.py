"""Engines that sample from something else than the policy: each is named before the first update."""

import copy
from dataclasses import replace

import pytest
import torch
from test_rl import CountsTokens, fit, stage_of

from cogrl.rollout import HFEngine, Sampling
from cogrl.stages import Grpo
from cogrl.stages.engine_check import TOLERANCE, Apart
from cogrl.stages.objective import Objective

SAMPLING = Sampling(temperature=1.0, max_new_tokens=10)


class OtherTemperature(HFEngine):
    def complete(self, policy, prompts, sampling, *rest):
        return super().complete(policy, prompts, replace(sampling, temperature=0.7), *rest)


class OtherTemplate(HFEngine):
    """Asks with a template of its own, and says so in the prompts that it returns."""

    def sample(self, policy, *args, **settings):
        own = policy.processor.chat_template
        policy.processor.chat_template = "You answer in verse." + own
        rollouts = super().sample(policy, *args, **settings)
        policy.processor.chat_template = own
        return rollouts


class HiddenTemplate(OtherTemplate):
    """The same, but it returns the prompts that it should have asked."""

    def sample(self, policy, clips, formats, sampling, *rest, **settings):
        rollouts = super().sample(policy, clips, formats, sampling, *rest, **settings)
        return replace(rollouts, prompts=HFEngine().sample(policy, clips, formats, Sampling(max_new_tokens=1)).prompts)


class Coarse(HFEngine):
    """Computes in bfloat16."""

    def complete(self, policy, *rest):
        coarse = copy.deepcopy(policy)
        coarse.model.to(torch.bfloat16)
        return super().complete(coarse, *rest)


class Stale(HFEngine):
    """Has other weights."""

    def complete(self, policy, *rest):
        other = copy.deepcopy(policy)
        for parameter in other.parameters():
            parameter.data.add_(0.05 * torch.randn_like(parameter))
        return super().complete(other, *rest)


class TopK(HFEngine):
    """Draws of the likeliest tokens only."""

    def complete(self, policy, prompts, sampling, *rest):
        return super().complete(policy, prompts, Cut(sampling.temperature, sampling.max_new_tokens), *rest)


class Cut(Sampling):
    def draw(self, logits, generator=None):
        least = logits.topk(20, -1).values[:, -1:]
        return super().draw(logits.masked_fill(logits < least, -torch.inf), generator)


def checked(policy, clips, engine, **objective):
    """What a fit of two updates logs about the engine."""
    with torch.no_grad():  # peaked, so that temperatures and prompts matter
        policy.lm_head_weight.mul_(8)
        for name, parameter in policy.decoder.named_parameters():
            parameter.mul_(4 if name.endswith("proj.weight") else 1)
    settings = {"objective": Objective("grpo", **objective), "engine": engine, "sampling": SAMPLING}
    stage = stage_of(Grpo, policy, CountsTokens(), **settings)
    trainer = fit(stage, clips, steps=2)
    return {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("engine/")}


@pytest.mark.parametrize(
    ("engine", "cause"),
    [
        (OtherTemperature, r"samples at a temperature of about 0\.(69|70|71) where sampling\.temperature is 1,"),
        (OtherTemplate, r"reads 'You answer in .* where the policy reads .*: another chat template or tokenizer"),
        (
            HiddenTemplate,
            r"neither rounding nor a temperature .* another prompt or other audio than it",
        ),
        (Coarse, r"computes in a lower precision \(bfloat16, float16\) .* set objective\.is_cap"),
        (Stale, r"neither rounding nor a temperature explains them: it has other weights \(see what Engine\.sync"),
        (TopK, r"every one is larger than the policy's, .* switch off top_k, top_p and min_p"),
    ],
)
def test_an_engine_that_samples_from_something_else_is_refused_by_its_cause(policy, clips, engine, cause):
    with pytest.raises(ValueError, match=cause):
        checked(policy, clips, engine())


def test_the_policy_itself_passes_and_is_measured(policy, clips):
    found = checked(policy, clips, HFEngine())
    assert set(found) == {"engine/logprobs_apart", "engine/logprobs_apart_max", "engine/ess"}
    assert 0 < found["engine/logprobs_apart"] < TOLERANCE["float32"] / 10
    assert found["engine/logprobs_apart"] < found["engine/logprobs_apart_max"] and found["engine/ess"] > 1 - 1e-6


def test_importance_weights_make_up_for_a_lower_precision(policy, clips):
    found = checked(policy, clips, Coarse(), is_cap=2.0)
    assert TOLERANCE["float32"] < found["engine/logprobs_apart"] < TOLERANCE["float16"]
    assert 0.8 < found["engine/ess"] < 1 - 1e-6


@pytest.mark.parametrize("engine", [OtherTemperature, OtherTemplate, TopK])
def test_importance_weights_do_not_make_up_for_another_question_or_temperature(policy, clips, engine):
    with pytest.raises(ValueError, match="the engine does not"):
        checked(policy, clips, engine(), is_cap=2.0)


def test_the_effective_sample_size_is_that_of_the_ratios():
    difference = torch.tensor([0.0, 0.0, 0.0, -2.0])
    ratios = (-difference).exp()
    apart = Apart.over_ranks(difference)
    assert apart.ess == pytest.approx(float(ratios.sum() ** 2 / (4 * ratios.square().sum())))
    assert (apart.tokens, apart.mean, apart.most) == (4, 0.5, 2.0)
