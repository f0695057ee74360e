"""Lines whose answers a reward can not grade are refused before the first rollout."""

from dataclasses import replace

import pytest
import torch

from cogrl.chat.client import ChatClient
from cogrl.chat.endpoint import Endpoint
from cogrl.rewards.cogaudio import ExplicitReward, ImplicitReward
from cogrl.rewards.composite import ByFormat, WeightedSum
from cogrl.rewards.format import format_reward
from cogrl.rewards.http_judge import HttpJudgeReward
from cogrl.rewards.offline_judge import OfflineJudge
from cogrl.rewards.steps import StepReward
from cogrl.rewards.term import Validates
from cogrl.stages import DrSapo
from cogrl.types import Scores, Turn


class Letters:
    """A user-defined reward, which grades answers to anything."""

    def score(self, answers) -> Scores:
        return Scores(torch.tensor([float(len(answer.text)) for answer in answers]), {})


def judged():
    return {
        "the default": None,
        "explicit": ExplicitReward(),
        "implicit": ImplicitReward(),
        "explicit in one format": ByFormat({"eips": ExplicitReward(), "direct": Letters()}),
        "implicit in one format": ByFormat({"eips": Letters(), "direct": ImplicitReward()}),
        "one thought step": WeightedSum({"intent": StepReward("Intent", OfflineJudge())}, {"intent": 1.0}),
        "over http": HttpJudgeReward(ChatClient(Endpoint("http://127.0.0.1:9/v1", "judge"))),
    }


@pytest.fixture
def good(clips):
    """A turn of a dialogue, where a line without an emotion is legal."""
    return replace(clips[0].example, turns=(Turn("They moved it.", None, reply="I see."),))


@pytest.mark.parametrize("name", judged())
def test_a_line_without_the_emotion_or_the_words_a_judge_has_to_know_is_refused_at_the_start(name, policy, good):
    stage = DrSapo(policy, reward=judged()[name])
    stage.check([good])
    for change, what in (
        ({"emotion": None}, "no emotion, which a judge has to know"),
        ({"text": ""}, "no text, which a judge has to read"),
    ):
        reason = f"{what} to grade an answer; add it to this line or leave the line out"
        with pytest.raises(ValueError, match=rf"^{good.where} \(bare\): {reason}$"):
            stage.check([good, replace(good, id="bare", **change)])


def test_a_reward_that_needs_no_emotion_trains_on_lines_without(policy, good):
    needs_none = WeightedSum({"format": format_reward}, {"format": 1.0})
    for reward in (Letters(), needs_none, ByFormat({"eips": Letters(), "direct": needs_none})):
        DrSapo(policy, reward=reward).check([replace(good, emotion=None)])


class Short(Letters):
    def validate(self, example):
        return f"{len(example.text)} characters are too many" if len(example.text) > 5 else None


def test_a_reward_of_ones_own_can_refuse_lines_too(policy, good):
    assert isinstance(Short(), Validates) and not isinstance(Letters(), Validates)
    for reward in (Short(), ByFormat({"eips": Letters(), "direct": Short()})):
        stage = DrSapo(policy, reward=reward)
        stage.check([replace(good, text="Hello")])
        with pytest.raises(ValueError, match="characters are too many"):
            stage.check([good])


def test_a_clip_that_can_not_be_heard_is_still_refused(policy, good, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.wav"):
        DrSapo(policy, reward=Letters()).check([replace(good, audio=tmp_path / "gone.wav")])
