"""The emotion that a reply answers."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from handmade_evaluations import clips

from cogrl.data.recipes.lime_replies import ACTION, NEED, OPENING
from cogrl.evaluate.grades import AT_ONCE, grades
from cogrl.evaluate.replied import replied_emotions
from cogrl.formats.answer import read_answer
from cogrl.rewards.cogaudio import cogaudio_reward
from cogrl.types import EMOTIONS, Scores

LINES = [clip.example for clip in clips(speakers=1, sentences=1)]


class Fits:
    """A reward by which a reply fits the emotions it names: 1 there, else what `otherwise` says of the emotion."""

    def __init__(self, otherwise=lambda emotion: 0.0):
        self.asked, self.otherwise = [], otherwise

    def score(self, answers):
        self.asked.append([(answer.text, answer.format, answer.example) for answer in answers])
        empathy = [1.0 if e.emotion in c.split() else self.otherwise(e.emotion) for c, _, e in self.asked[-1]]
        return Scores(torch.zeros(len(empathy)), {"empathy": torch.tensor(empathy)})


def test_the_reply_of_every_emotion_is_recognised():
    offline = cogaudio_reward()
    for emotion in EMOTIONS:
        openings = itertools.chain.from_iterable(OPENING[emotion].values())
        replies = [f"{o} {NEED[emotion][0]} {ACTION[emotion][0]}" for o in openings]
        line = replace(LINES[0], text="The class has a new teacher.")
        found = replied_emotions(offline, [line] * len(replies), replies)
        assert sum(guess == emotion for guess in found) >= 0.9 * len(replies), emotion
        assert replied_emotions(offline, [line], [f"[Intent] {replies[0]}"]) == [None]


@pytest.mark.parametrize("reply", ["", "anger sad", "hello"])
def test_a_reply_that_fits_none_or_several_answers_none(reply):
    assert replied_emotions(Fits(), LINES[:1], [reply]) == [None]


@pytest.mark.parametrize(("grade", "found"), [(1 / 3, None), (2 / 3, "sad"), (math.nan, None)])
def test_only_the_right_category_counts_and_a_failed_grade_is_no_emotion(grade, found):
    of = lambda emotion: grade if emotion == "sad" else 0.0
    assert replied_emotions(Fits(of), LINES[:1], ["sorry"]) == [found]


def test_equal_replies_are_judged_once_for_all_seven_emotions_whatever_was_spoken():
    judge = Fits()
    assert replied_emotions(judge, LINES, ["fear"] * 7) == ["fear"] * 7
    ((*asked,),) = judge.asked
    assert [(c, format, e.emotion) for c, format, e in asked] == [("fear", "direct", emotion) for emotion in EMOTIONS]


def test_replies_to_other_words_are_judged_apart():
    """The same reply answers another emotion when the words are others."""

    class Words(Fits):
        def score(self, answers):
            fits = [float(answer.example.emotion == answer.example.text) for answer in answers]
            return Scores(torch.zeros(len(fits)), {"empathy": torch.tensor(fits)})

    lines = [replace(LINES[0], text=text) for text in ("sad", "happy", "sad")]
    assert replied_emotions(Words(), lines, ["I see.", "I see.", ""]) == ["sad", "happy", None]


def test_grades_come_in_order_whatever_is_asked_at_once():
    judge = Fits()
    replies = ["fear" if i % 3 else "sad" for i in range(2 * AT_ONCE + 1)]
    lines = [replace(LINES[0], emotion="fear")] * len(replies)
    found = grades(judge, [read_answer(*row) for row in zip(replies, ["eips"] * len(replies), lines, strict=True)])
    assert found.terms["empathy"].tolist() == [float(i % 3 > 0) for i in range(len(replies))]
    assert [len(batch) for batch in judge.asked] == [AT_ONCE, AT_ONCE, 1]
    assert found.terms["format"].isnan().all() and len(found.total) == len(replies)


def test_a_reward_that_knows_nothing_of_empathy_is_refused():
    class Length:
        def score(self, answers):
            return Scores(torch.ones(len(answers)), {"length": torch.ones(len(answers))})

    with pytest.raises(
        ValueError, match="Length has the terms length in format eips; an evaluation needs an `empathy`"
    ):
        grades(Length(), [read_answer("hello", "eips", LINES[0])])
