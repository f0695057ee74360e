"""The emotion that a reply answers."""

import itertools

import pytest

from cogrl.data.recipes.lime_replies import ACTION, NEED, OPENING
from cogrl.evaluate.replied import replied_emotions
from cogrl.rewards.offline_judge import OfflineJudge
from cogrl.types import EMOTIONS


class Fits:
    """A judge to whom a reply fits the emotions it names."""

    def __init__(self):
        self.calls = 0

    def empathy(self, text, emotion, reply):
        self.calls += 1
        return 4 if emotion in reply.split() else 1

    def step(self, name, emotion, scenario, content):
        raise AssertionError("not asked")


def test_the_reply_of_every_emotion_is_recognised():
    for emotion in EMOTIONS:
        openings = itertools.chain.from_iterable(OPENING[emotion].values())
        replies = [f"{o} {NEED[emotion][0]} {ACTION[emotion][0]}" for o in openings]
        found = replied_emotions(OfflineJudge(), ["The class has a new teacher."] * len(replies), replies)
        assert sum(guess == emotion for guess in found) >= 0.9 * len(replies), emotion


@pytest.mark.parametrize("reply", ["", "anger sad", "hello"])
def test_a_reply_that_fits_none_or_several_answers_none(reply):
    assert replied_emotions(Fits(), ["words"], [reply]) == [None]


def test_a_broad_direction_is_no_emotion():
    class Broad(Fits):
        def empathy(self, text, emotion, reply):
            return 2 if emotion == "sad" else 1

    assert replied_emotions(Broad(), ["words"], ["sorry"]) == [None]


def test_equal_replies_are_judged_once():
    judge = Fits()
    assert replied_emotions(judge, ["w"] * 5, ["fear"] * 5) == ["fear"] * 5
    assert judge.calls == len(EMOTIONS)
