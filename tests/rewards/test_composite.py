import math
from pathlib import Path

import pytest
import torch
from jsonargparse import ArgumentParser
from replies import LADDER, USER_TEXT

from cogrl.formats.answer import read_answer
from cogrl.formats.eips import EIPS
from cogrl.rewards.cogaudio import ExplicitReward, ImplicitReward, cogaudio_reward
from cogrl.rewards.composite import ByFormat, Reward, WeightedSum
from cogrl.rewards.emotion import emotion_reward
from cogrl.rewards.empathy import EmpathyReward
from cogrl.rewards.format import format_reward, well_formed
from cogrl.rewards.judge import ReplyRequest, StepsRequest
from cogrl.rewards.offline_judge import OfflineJudge
from cogrl.rewards.steps import StepReward
from cogrl.rewards.term import Term, bounded
from cogrl.types import Example


def example(name="u1", emotion="anger"):
    return Example(name, Path("u.wav"), "train", USER_TEXT, "g1", "s1", emotion, "high", "workplace", where="m.jsonl:7")


def thought(perception, reply):
    steps = "Wants something.", "Feels something.", "Does something."
    return EIPS.render(dict(zip(EIPS.fields, (perception, *steps, reply), strict=True)))


def answers(completions, formats, examples):
    return [read_answer(*row) for row in zip(completions, formats, examples, strict=True)]


class FixedJudge:
    """A judge whose scores are known; about the replies in `broken` it has an error instead of scores."""

    def __init__(self, empathy=4, step=0.5, broken=()):
        self.rubric, self.value, self.broken, self.asked = empathy, step, broken, []

    def judge(self, requests):
        self.asked.append(list(requests))
        return [self._scores(request) for request in requests]

    def _scores(self, request):
        if isinstance(request, StepsRequest):
            return {name: self.value for name, _ in request.steps}
        if request.reply in self.broken:
            return TimeoutError(f"no answer about {request.reply!r}")
        return {"empathy": self.rubric}


def half(answer):
    return 0.5


def nothing(answer):
    return None


def test_rf1_is_equation_3():
    judge = FixedJudge(empathy=3, step=0.5)
    right, wrong = thought("anger: loud", "I hear it."), thought("sad: slow", "I hear it.")
    scores = ExplicitReward(judge).score(answers([right, wrong], ["eips", "eips"], [example()] * 2))
    expected = 0.1 * 1 + 0.3 * 1 + 0.1 * 0.5 + 0.1 * 0.5 + 0.1 * 0.5 + 0.3 * 2 / 3
    assert scores.total.tolist() == pytest.approx([expected, expected - 0.3])
    assert scores.terms.keys() == {"format", "emotion", "intent", "psychology", "strategy", "empathy"}


def test_rf2_is_equation_4():
    for rubric in (1, 2, 3, 4):
        scores = ImplicitReward(FixedJudge(empathy=rubric)).score(answers(["I hear it."], ["direct"], [example()]))
        assert scores.total.item() == pytest.approx((rubric - 1) / 3)


def test_the_judge_gets_the_gold_emotion_the_text_and_only_the_reply():
    judge = FixedJudge()
    ExplicitReward(judge).score(answers([thought("sad: slow", "I hear it.")], ["eips"], [example(emotion="fear")]))
    (asked,) = judge.asked
    steps = (("Intent", "Wants something."), ("Psychology", "Feels something."), ("Strategy", "Does something."))
    assert set(asked) == {
        ReplyRequest(USER_TEXT, "fear", "I hear it."),
        StepsRequest(USER_TEXT, "fear", "workplace", steps),
    }


def test_a_judge_is_asked_once_a_batch_for_all_terms_and_formats_and_once_about_equal_answers():
    judge, both = FixedJudge(), ["I hear it.", thought("anger: loud", "I hear it."), "I hear it.", "I hear that."]
    cogaudio_reward(judge).score(answers(both, ["direct", "eips", "direct", "direct"], [example()] * 4))
    (asked,) = judge.asked
    assert len(asked) == len(set(asked)) == 3


def test_a_judge_that_raises_fails_what_it_was_asked_about_and_nothing_else():
    class Down:
        def judge(self, requests):
            raise ConnectionError("down")

    scores = ImplicitReward(Down(), max_failures=0.5).score(answers(["Yes.", ""], ["direct"] * 2, [example()] * 2))
    assert scores.total.isnan().tolist() == [True, False] and scores.terms["format"].tolist() == [1.0, 0.0]


def test_no_term_is_run_twice_on_an_answer():
    seen = []

    def spy(answer):
        seen.append(answer.text)
        return 1.0

    own = WeightedSum({"spy": spy, "empathy": EmpathyReward(FixedJudge())}, {"spy": 1.0, "empathy": 1.0})
    ByFormat({"direct": own}).score(answers(["One.", "Two."], ["direct"] * 2, [example()] * 2))
    assert seen == ["One.", "Two."]


def test_weights_can_be_overridden_one_by_one():
    weights = ExplicitReward(FixedJudge(), weights={"format": 0.5}).weights
    assert weights["format"] == 0.5 and weights["emotion"] == 0.3


def test_each_format_is_scored_by_its_own_reward_in_place():
    reward = ByFormat({"eips": ExplicitReward(FixedJudge(4)), "direct": ImplicitReward(FixedJudge(2))})
    completions = ["I hear it.", thought("anger: loud", "I hear it."), "I hear that.", thought("x", "I hear it.")]
    scores = reward.score(answers(completions, ["direct", "eips", "direct", "eips"], [example()] * 4))
    assert scores.total.tolist() == pytest.approx([1 / 3, 0.85, 1 / 3, 0.55])
    assert scores.terms["emotion"].isnan().tolist() == [True, False, True, False]
    assert scores.terms["empathy"].tolist() == pytest.approx([1 / 3, 1, 1 / 3, 1])


def test_scores_do_not_depend_on_the_neighbours():
    reward = cogaudio_reward()
    completions = [*LADDER["anger"], thought("anger: loud", LADDER["anger"][3])]
    batch = answers(completions, ["direct"] * 4 + ["eips"], [example()] * 5)
    together, backwards = reward.score(batch).total, reward.score(batch[::-1]).total.flip(0)
    alone = [reward.score([answer]).total.item() for answer in batch]
    assert together.tolist() == backwards.tolist() == alone


def test_a_term_that_does_not_apply_is_nan_and_counts_for_nothing():
    scores = WeightedSum({"a": half, "b": nothing}, {"a": 2.0, "b": 1.0}).score(answers(["x"], ["direct"], [example()]))
    assert scores.total.item() == 1.0
    assert scores.terms["b"].isnan().all()


def test_a_sample_without_any_applicable_term_has_no_reward():
    assert WeightedSum({"b": nothing}, {"b": 1.0}).score(answers(["x"], ["direct"], [example()])).total.isnan().all()


def test_a_term_of_weight_zero_is_logged_but_not_paid():
    scores = WeightedSum({"a": half, "b": half}, {"a": 1.0, "b": 0.0}).score(answers(["x"], ["direct"], [example()]))
    assert scores.total.item() == 0.5 and scores.terms["b"].item() == 0.5


def test_a_failed_sample_is_nan_logged_once_by_id_and_the_others_stand(caplog):
    reward = ExplicitReward(FixedJudge(broken=("Bad.",)), max_failures=0.5)
    completions = [thought("anger: loud", "Bad."), thought("anger: loud", "Good.")]
    scores = reward.score(answers(completions, ["eips", "eips"], [example("u1"), example("u2")]))
    assert scores.total.isnan().tolist() == [True, False]
    assert scores.terms["empathy"].isnan().tolist() == [True, False]
    assert [record.getMessage() for record in caplog.records] == [
        "reward term 'empathy' failed on sample u1 (m.jsonl:7), format eips: TimeoutError(\"no answer about 'Bad.'\")"
    ]


def test_too_many_failures_raise_with_the_first_as_cause():
    reward = ImplicitReward(FixedJudge(broken=("Bad.",)), max_failures=0.4)
    with pytest.raises(RuntimeError, match="1 of 2") as error:
        reward.score(answers(["Bad.", "Good."], ["direct", "direct"], [example()] * 2))
    assert isinstance(error.value.__cause__, TimeoutError)


class Fixed(Term):
    def __init__(self, value, bounds=(0.0, 1.0)):
        self.value, self.bounds = value, bounds

    def values(self, answers):
        return [self.value] * len(answers)


def of_one(term):
    """The total of one answer, every failure raised."""
    return WeightedSum({"a": term}, {"a": 1.0}, 0.0).score(answers(["x"], ["direct"], [example()])).total.item()


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.1, 4, "1.0", [1.0], ValueError("no grade")])
def test_a_value_outside_its_bounds_or_no_number_is_a_failure_not_a_reward(value):
    with pytest.raises(RuntimeError, match=r"term 'a' failed on sample u1 \(m\.jsonl:7\), format direct: ") as error:
        of_one(Fixed(value))
    assert isinstance(error.value.__cause__, TypeError if isinstance(value, (str, list)) else ValueError)


def test_a_term_declares_its_bounds_and_negative_ones_exist():
    assert of_one(Fixed(-0.5, bounds=(-1.0, 0.0))) == -0.5
    with pytest.raises(RuntimeError, match=r"0\.5; its values are finite and lie in \[-1\.0, 0\.0\]"):
        of_one(Fixed(0.5, bounds=(-1.0, 0.0)))


def test_a_plain_function_may_give_any_finite_number_unless_it_is_bounded():
    assert of_one(lambda answer: -7) == -7 and of_one(lambda answer: torch.tensor(2.5)) == 2.5
    for value in (math.nan, math.inf, "7"):
        with pytest.raises(RuntimeError):
            of_one(lambda answer, value=value: value)
    with pytest.raises(RuntimeError, match=r"lie in \[0\.0, 1\.0\]"):
        of_one(bounded(0.0, 1.0)(lambda answer: -7))


def test_what_a_function_raises_fails_that_sample_alone():
    def brittle(answer):
        return 1 / len(answer.text)

    reward = WeightedSum({"brittle": brittle}, {"brittle": 1.0}, max_failures=0.5)
    scores = reward.score(answers(["", "four"], ["direct"] * 2, [example()] * 2))
    assert scores.total.isnan().tolist() == [True, False] and scores.total[1] == 0.25


def test_a_function_that_does_not_take_one_answer_is_refused_with_its_signature():
    def two(completion, example):
        return 1.0

    with pytest.raises(ValueError, match=r"two\(completion, example\) can not be called with one answer"):
        WeightedSum({"a": two}, {"a": 1.0})


def test_a_term_that_loses_an_answer_is_refused():
    class Short(Fixed):
        def values(self, answers):
            return [1.0]

    with pytest.raises(ValueError, match="term 'a' gave 1 values for 2 answers"):
        WeightedSum({"a": Short(1.0)}, {"a": 1.0}).score(answers(["x", "y"], ["direct"] * 2, [example()] * 2))


def test_a_reward_that_applies_to_nothing_says_so(caplog):
    WeightedSum({"b": nothing}, {"b": 1.0}).score(answers(["x"], ["direct"], [example()]))
    assert "no weighted term of ['b'] applies to any of 1 completions" in caplog.text


def test_an_answer_that_says_nothing_is_scored_like_any_other_unless_its_total_is_given():
    silent = answers([""], ["direct"], [example()])
    assert WeightedSum({"a": half}, {"a": 1.0}).score(silent).total.item() == 0.5
    assert WeightedSum({"a": half}, {"a": 1.0}, unanswered=0.0).score(silent).total.item() == 0.0


def test_a_judge_that_leaves_its_scale_is_a_failure():
    for rubric in (0, 5):
        with pytest.raises(RuntimeError, match="runs from 1 to 4"):
            of_one(EmpathyReward(FixedJudge(empathy=rubric)))


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


def test_an_answer_in_a_format_without_a_reward_is_refused():
    with pytest.raises(ValueError, match="no reward for answers in format 'eips'; ByFormat has direct"):
        ByFormat({"direct": ImplicitReward()}).score(answers(["x"], ["eips"], [example()]))
    with pytest.raises(ValueError, match="no reward for any format"):
        ByFormat({})


def test_an_empty_batch_has_empty_scores():
    for reward in (ImplicitReward(), cogaudio_reward()):
        assert reward.score([]).total.shape == (0,)


def test_steps_and_emotion_do_not_apply_to_a_direct_answer():
    direct = answers(["I hear it."], ["direct"], [example()])
    assert emotion_reward(direct[0]) is None and format_reward(direct[0]) == well_formed(direct[0]) == 1.0
    assert StepReward("Intent", FixedJudge()).values(direct) == [None]


def test_only_the_three_judged_steps_have_a_reward():
    with pytest.raises(ValueError, match="Intent, Psychology, Strategy"):
        StepReward("Perception", FixedJudge())


def test_rewards_are_built_from_plain_data():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--reward", type=Reward)
    judge = {"class_path": "cogrl.rewards.offline_judge.OfflineJudge", "init_args": {"min_words": 4}}
    parts = {
        "rewards": {
            "eips": {"class_path": "cogrl.rewards.cogaudio.ExplicitReward", "init_args": {"judge": judge}},
            "direct": {
                "class_path": "cogrl.rewards.WeightedSum",
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
    both = {"class_path": "cogrl.rewards.ByFormat", "init_args": parts}
    reward = parser.instantiate(parser.parse_object({"reward": both})).reward
    assert reward.rewards["eips"].terms["empathy"].judge.min_words == 4
    scores = reward.score(answers([LADDER["anger"][3]], ["direct"], [example()]))
    assert scores.total.item() == pytest.approx(1.0)
    assert torch.isfinite(scores.terms["plain"]).all()


def test_the_offline_judge_is_the_default():
    assert isinstance(ImplicitReward().terms["empathy"].judge, OfflineJudge)


def test_without_a_gold_emotion_naming_none_earns_nothing():
    bare = example(emotion=None)
    right = thought("anger, sharp voice", "Yes.")
    batch = answers(["I hear it.", right, right], ["eips"] * 3, [bare, bare, example()])
    assert [emotion_reward(answer) for answer in batch] == [0.0, 0.0, 1.0]
