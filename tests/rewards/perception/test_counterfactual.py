"""The counterfactual term: what a right answer is worth by what is said where the audio is replaced."""

from dataclasses import replace

import pytest
from traces import EXAMPLE, answered

from cogrl.rewards.composite import WeightedSum
from cogrl.rewards.perception.counterfactual import Counterfactual


def replaced(example=EXAMPLE, final="kettle river", **said):
    return replace(answered(example=example, final_answer=final), counterfactuals=said)


BOTH = Counterfactual(changes=("silence", "another_clip"), stays=("another_voice",))


@pytest.mark.parametrize(
    ("said", "worth"),
    [
        (("window apple", "garden river", "kettle river"), 1.0),
        (("", "garden river", "kettle river"), 1.0),
        (("kettle river", "garden river", "kettle river"), 2 / 3),
        (("window apple", "garden river", "window apple"), 2 / 3),
        (("kettle river", "kettle river", "kettle river"), 1 / 3),
        (("kettle river", "kettle river", ""), 0.0),
    ],
)
def test_an_answer_should_change_with_what_it_is_about_and_with_nothing_else(said, worth):
    answer = replaced(**dict(zip(("silence", "another_clip", "another_voice"), said, strict=True)))
    assert BOTH.values([answer]) == [pytest.approx(worth, abs=1e-12)]


def test_a_wrong_answer_is_worth_nothing_however_it_changes():
    said = {"silence": "kettle river", "another_clip": "", "another_voice": "window apple"}
    assert BOTH.values([replaced(final="window apple", **said), replaced(final="A B", **said)]) == [0.0, 0.0]


def test_it_applies_where_answers_were_asked_for_and_to_its_tasks():
    only = Counterfactual(tasks=("say",))
    say, count = (replace(EXAMPLE, task=task) for task in ("say", "count"))
    answers = [
        replaced(say, silence=""),
        replaced(count, silence=""),
        replaced(say),
        replaced(replace(say, answer=None)),
    ]
    assert only.values(answers) == [1.0, None, None, None]


def test_a_replacement_that_nobody_made_is_an_error_and_no_zero():
    reward = WeightedSum({"hangs": Counterfactual(("silense",))}, {"hangs": 1.0}, max_failures=0.0)
    with pytest.raises(RuntimeError, match=r"no answers under silense; the stage's counterfactuals.inputs has silence"):
        reward.score([replaced(silence="")])


@pytest.mark.parametrize("names", [((), ()), (("silence",), ("silence",))])
def test_senseless_names_are_refused(names):
    with pytest.raises(ValueError, match="changes="):
        Counterfactual(*names)
