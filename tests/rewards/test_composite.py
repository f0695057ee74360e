import math
from pathlib import Path

import pytest
import torch
from jsonargparse import ArgumentParser
from replies import LADDER, USER_TEXT

from cogrl.formats.eips import EIPS
from cogrl.rewards.composite import DualRouteReward, ExplicitReward, ImplicitReward, Reward, WeightedSum
from cogrl.rewards.emotion import emotion_reward
from cogrl.rewards.empathy import EmpathyReward
from cogrl.rewards.format import format_reward
from cogrl.rewards.offline_judge import OfflineJudge
from cogrl.rewards.steps import StepReward
from cogrl.types import Example


def example(name="u1", emotion="anger"):
    return Example(name, Path("u.wav"), "train", USER_TEXT, "g1", "s1", emotion, "high", "workplace", where="m.jsonl:7")


def thought(perception, reply):
    fields = {"intent": "Wants something.", "psychology": "Feels something.", "strategy": "Does something."}
    return EIPS.render({"perception": perception, **fields, "response": reply})


class FixedJudge:
    """A judge whose scores are known; `broken` user texts make it raise."""

    def __init__(self, empathy=4, step=0.5, broken=()):
        self.rubric, self.value, self.broken, self.asked = empathy, step, broken, []

    def empathy(self, text, emotion, reply):
        self.asked.append((text, emotion, reply))
        if reply in self.broken:
            raise TimeoutError(f"no answer about {reply!r}")
        return self.rubric

    def step(self, name, emotion, scenario, content):
        self.asked.append((name, emotion, scenario, content))
        return self.value


def half(completion, format, example):
    return 0.5


def nothing(completion, format, example):
    return None


def test_rf1_is_equation_3():
    judge = FixedJudge(empathy=3, step=0.5)
    right, wrong = thought("anger: loud", "I hear it."), thought("sad: slow", "I hear it.")
    scores = ExplicitReward(judge).score([right, wrong], ["eips", "eips"], [example()] * 2)
    expected = 0.1 * 1 + 0.3 * 1 + 0.1 * 0.5 + 0.1 * 0.5 + 0.1 * 0.5 + 0.3 * 2 / 3
    assert scores.total.tolist() == pytest.approx([expected, expected - 0.3])
    assert scores.terms.keys() == {"format", "emotion", "intent", "psychology", "strategy", "empathy"}


def test_rf2_is_equation_4():
    for rubric in (1, 2, 3, 4):
        scores = ImplicitReward(FixedJudge(empathy=rubric)).score(["I hear it."], ["direct"], [example()])
        assert scores.total.item() == pytest.approx((rubric - 1) / 3)


def test_the_judge_gets_the_gold_emotion_the_text_and_only_the_reply():
    judge = FixedJudge()
    ExplicitReward(judge).score([thought("sad: slow", "I hear it.")], ["eips"], [example(emotion="fear")])
    assert (USER_TEXT, "fear", "I hear it.") in judge.asked
    assert ("Intent", "fear", "workplace", "Wants something.") in judge.asked


def test_weights_can_be_overridden_one_by_one():
    weights = ExplicitReward(FixedJudge(), weights={"format": 0.5}).weights
    assert weights["format"] == 0.5 and weights["emotion"] == 0.3


def test_each_format_is_scored_by_its_own_reward_in_place():
    reward = DualRouteReward(ExplicitReward(FixedJudge(4)), ImplicitReward(FixedJudge(2)))
    completions = ["I hear it.", thought("anger: loud", "I hear it."), "I hear that.", thought("x", "I hear it.")]
    scores = reward.score(completions, ["direct", "eips", "direct", "eips"], [example()] * 4)
    assert scores.total.tolist() == pytest.approx([1 / 3, 0.85, 1 / 3, 0.55])
    assert scores.terms["emotion"].isnan().tolist() == [True, False, True, False]
    assert scores.terms["empathy"].tolist() == pytest.approx([1 / 3, 1, 1 / 3, 1])


def test_scores_do_not_depend_on_the_neighbours():
    reward = DualRouteReward(ExplicitReward(), ImplicitReward())
    completions = [*LADDER["anger"], thought("anger: loud", LADDER["anger"][3])]
    formats = ["direct"] * 4 + ["eips"]
    together = reward.score(completions, formats, [example()] * 5).total
    backwards = reward.score(completions[::-1], formats[::-1], [example()] * 5).total.flip(0)
    alone = [reward.score([c], [r], [example()]).total.item() for c, r in zip(completions, formats, strict=True)]
    assert together.tolist() == backwards.tolist() == alone


def test_a_term_that_does_not_apply_is_nan_and_counts_for_nothing():
    scores = WeightedSum({"a": half, "b": nothing}, {"a": 2.0, "b": 1.0}).score(["x"], ["direct"], [example()])
    assert scores.total.item() == 1.0
    assert scores.terms["b"].isnan().all()


def test_a_sample_without_any_applicable_term_has_no_reward():
    assert WeightedSum({"b": nothing}, {"b": 1.0}).score(["x"], ["direct"], [example()]).total.isnan().all()


def test_a_term_of_weight_zero_is_logged_but_not_paid():
    scores = WeightedSum({"a": half, "b": half}, {"a": 1.0, "b": 0.0}).score(["x"], ["direct"], [example()])
    assert scores.total.item() == 0.5 and scores.terms["b"].item() == 0.5


def test_a_failed_sample_is_nan_logged_once_by_id_and_the_others_stand(caplog):
    reward = ExplicitReward(FixedJudge(broken=("Bad.",)), max_failures=0.5)
    completions = [thought("anger: loud", "Bad."), thought("anger: loud", "Good.")]
    scores = reward.score(completions, ["eips", "eips"], [example("u1"), example("u2")])
    assert scores.total.isnan().tolist() == [True, False]
    assert scores.terms["empathy"].isnan().tolist() == [True, False]
    assert [record.getMessage() for record in caplog.records] == [
        "reward failed on sample u1 (m.jsonl:7), format eips: TimeoutError(\"no answer about 'Bad.'\")"
    ]


def test_too_many_failures_raise_with_the_first_as_cause():
    reward = ImplicitReward(FixedJudge(broken=("Bad.",)), max_failures=0.4)
    with pytest.raises(RuntimeError, match="1 of 2") as error:
        reward.score(["Bad.", "Good."], ["direct", "direct"], [example()] * 2)
    assert isinstance(error.value.__cause__, TimeoutError)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.1, 4])
def test_a_term_outside_its_range_is_a_failure_not_a_reward(value):
    reward = WeightedSum({"a": lambda *_: value}, {"a": 1.0}, max_failures=0.0)
    with pytest.raises(RuntimeError) as error:
        reward.score(["x"], ["direct"], [example()])
    assert isinstance(error.value.__cause__, ValueError)


def test_a_judge_that_leaves_its_scale_is_a_failure():
    for rubric in (0, 5):
        with pytest.raises(ValueError, match="1 to 4"):
            EmpathyReward(FixedJudge(empathy=rubric))("I hear it.", "direct", example())


@pytest.mark.parametrize(
    ("terms", "weights"),
    [
        ({}, {}),
        ({"a": half}, {}),
        ({}, {"a": 1.0}),
        ({"a": half}, {"b": 1.0}),
        ({"a": half}, {"a": 1.0, "b": 1.0}),
        ({"a": half}, {"a": 0.0}),
        ({"a": half, "b": half}, {"a": 1.0, "b": -1.0}),
        ({"a": half}, {"a": math.nan}),
    ],
)
def test_an_empty_or_crooked_reward_group_is_refused(terms, weights):
    with pytest.raises(ValueError):
        WeightedSum(terms, weights)


def test_an_unknown_weight_name_is_refused():
    with pytest.raises(ValueError, match="empahty"):
        ExplicitReward(weights={"empahty": 0.5})


@pytest.mark.parametrize(("completions", "formats"), [(["x"], []), (["x"], ["direct", "direct"])])
def test_sequences_of_different_lengths_are_refused(completions, formats):
    for reward in (ImplicitReward(), DualRouteReward(ExplicitReward(), ImplicitReward())):
        with pytest.raises(ValueError):
            reward.score(completions, formats, [example()])


def test_an_empty_batch_has_empty_scores():
    assert ImplicitReward().score([], [], []).total.shape == (0,)


def test_steps_and_emotion_do_not_apply_to_direct():
    assert emotion_reward("I hear it.", "direct", example()) is None
    assert StepReward("Intent", FixedJudge())("I hear it.", "direct", example()) is None
    assert format_reward("I hear it.", "direct", example()) == 1.0


def test_only_the_three_judged_steps_have_a_reward():
    with pytest.raises(ValueError, match="Intent, Psychology, Strategy"):
        StepReward("Perception", FixedJudge())


def test_rewards_are_built_from_plain_data():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--reward", type=Reward)
    judge = {"class_path": "cogrl.rewards.offline_judge.OfflineJudge", "init_args": {"min_words": 4}}
    room = "cogrl.rewards.composite"
    dual = {
        "class_path": f"{room}.DualRouteReward",
        "init_args": {
            "explicit": {"class_path": f"{room}.ExplicitReward", "init_args": {"judge": judge}},
            "implicit": {
                "class_path": f"{room}.WeightedSum",
                "init_args": {
                    "terms": {
                        "plain": "cogrl.rewards.format.format_reward",
                        "empathy": {"class_path": "cogrl.rewards.empathy.EmpathyReward", "init_args": {"judge": judge}},
                    },
                    "weights": {"plain": 0.5, "empathy": 0.5},
                },
            },
        },
    }
    reward = parser.instantiate(parser.parse_object({"reward": dual})).reward
    assert reward.by_format["eips"].terms["empathy"].judge.min_words == 4
    scores = reward.score([LADDER["anger"][3]], ["direct"], [example()])
    assert scores.total.item() == pytest.approx(1.0)
    assert torch.isfinite(scores.terms["plain"]).all()


def test_the_offline_judge_is_the_default():
    assert isinstance(ImplicitReward().terms["empathy"].judge, OfflineJudge)


def test_without_a_gold_emotion_naming_none_earns_nothing():
    assert emotion_reward("I hear it.", "eips", example(emotion=None)) == 0.0
    assert emotion_reward(thought("anger, sharp voice", "Yes."), "eips", example(emotion=None)) == 0.0
    assert emotion_reward(thought("anger, sharp voice", "Yes."), "eips", example()) == 1.0
