"""The stage asks its policy with replaced audio, too, and the reward sees what it said."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser

from cogrl.evaluate.controls import another_voice, silence
from cogrl.pitch import f0_track
from cogrl.rollout.controllers import FixedFiller
from cogrl.rollout.controllers.latent import Filler
from cogrl.rollout.sampling import Sampling
from cogrl.stages import Grpo
from cogrl.stages.counterfactuals import Counterfactuals
from cogrl.types import Clip, Example, Scores


class Keeps:
    """Keeps the answers that it is to grade."""

    def score(self, answers):
        self.answers = answers
        return Scores(torch.zeros(len(answers)), {})


def test_every_completion_has_the_greedy_answer_to_its_prompt_under_each_replacement(policy, clips):
    reward = Keeps()
    inputs = {"silence": silence, "same": lambda clips, rate: [clip.waveform for clip in clips]}
    stage = Grpo(
        policy,
        formats=("direct",),
        group_size=3,
        reward=reward,
        sampling=Sampling(max_new_tokens=6),
        counterfactuals=Counterfactuals(inputs),
    )
    asked = []
    run_engine = lambda *args, **settings: asked.append(settings) or policy_answers(stage, *args, **settings)
    stage.run_engine = run_engine
    rollouts = policy_answers(stage, clips[:2], ["direct"] * 2, stage.sampling, group_size=3)
    stage.score(rollouts)
    greedy = replace(stage.sampling, greedy=True)
    plain = policy_answers(stage, clips[:2], ["direct"] * 2, greedy).texts
    quiet = policy_answers(
        stage, clips[:2], ["direct"] * 2, greedy, inputs=silence(clips[:2], policy.sampling_rate)
    ).texts
    assert [answer.text for answer in reward.answers] == list(rollouts.texts)
    assert [a.counterfactuals["same"] for a in reward.answers] == [plain[i // 3].strip() for i in range(6)]
    assert [a.counterfactuals["silence"] for a in reward.answers] == [quiet[i // 3].strip() for i in range(6)]
    assert len(asked) == 2 and all(len(settings["inputs"]) == 2 for settings in asked)


def test_one_answer_may_be_without_the_controllers(policy, clips):
    reward = Keeps()
    stage = Grpo(
        policy,
        formats=("direct",),
        group_size=2,
        reward=reward,
        sampling=Sampling(max_new_tokens=6),
        controllers=[FixedFiller(Filler("<thought>", 2), places=(1, 3))],
        counterfactuals=Counterfactuals(without_controllers=True),
    )
    asked = []
    stage.run_engine = lambda *args, **how: asked.append(how) or policy_answers(stage, *args, **how)
    rollouts = policy_answers(stage, clips[:2], ["direct"] * 2, stage.sampling, group_size=2)
    stage.score(rollouts)
    plain = policy_answers(stage, clips[:2], ["direct"] * 2, replace(stage.sampling, greedy=True), controllers=[]).texts
    assert [a.counterfactuals for a in reward.answers] == [
        {"without_controllers": plain[i // 2].strip()} for i in range(4)
    ]
    assert asked == [{"controllers": []}]


def test_groups_that_are_drawn_anew_are_compared_with_what_was_said_before(policy, clips):
    """A replacement that needs other clips of the batch would have none in a single flat group."""
    reward = Keeps()
    inputs = {"other": lambda clips, rate: [clip.waveform for clip in (*clips[1:], clips[0])]}
    stage = Grpo(
        policy,
        formats=("direct",),
        group_size=2,
        reward=reward,
        sampling=Sampling(max_new_tokens=4),
        counterfactuals=Counterfactuals(inputs),
    )
    stage.run_engine = lambda *args, **settings: policy_answers(stage, *args, **settings)
    rollouts = policy_answers(stage, clips[:2], ["direct"] * 2, stage.sampling, group_size=2)
    said = stage.said_otherwise(rollouts)
    stage.run_engine = None
    stage.score(rollouts.groups([1]), [said[1]])
    assert [answer.counterfactuals for answer in reward.answers] == [said[1]] * 2


def policy_answers(stage, clips, formats, sampling, **settings):
    return stage.engine.sample(stage.policy, clips, formats, sampling, **settings)


def test_without_replacements_nothing_else_is_sampled(policy, clips):
    reward = Keeps()
    stage = Grpo(policy, formats=("direct",), group_size=2, reward=reward, sampling=Sampling(max_new_tokens=4))
    stage.run_engine = None
    stage.score(policy_answers(stage, clips[:1], ["direct"], stage.sampling, group_size=2))
    assert [answer.counterfactuals for answer in reward.answers] == [{}, {}]


def test_replacements_are_named_in_yaml_and_none_at_all_is_refused():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--counterfactuals", type=Counterfactuals)
    parsed = parser.parse_object({"counterfactuals": {"inputs": {"silence": "cogrl.evaluate.controls.silence"}}})
    assert parser.instantiate(parsed).counterfactuals.inputs == {"silence": silence}
    with pytest.raises(ValueError, match=r"counterfactuals\.inputs is empty"):
        Counterfactuals({})


def test_another_voice_is_two_semitones_higher():
    time = np.arange(16000) / 16000
    voice = np.float32(0.1) * sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 8)).astype(np.float32)
    (other,) = another_voice([Clip(Example("a", Path("a.wav")), voice)], 16000)
    step_st = 12 * np.log2(np.nanmedian(f0_track(other, 16000)) / 120)
    assert other.dtype == np.float32 and step_st == pytest.approx(12 * np.log2(9 / 8), abs=0.1)
