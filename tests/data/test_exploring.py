"""Replies that explore: rated by what they are put together of, and written as targets of a manifest."""

import random

import pytest

from cogrl.data.recipes.annotate import TemplateAnnotator, Utterance
from cogrl.data.recipes.exploring import QUESTION, ExploringAnnotator, Reply, levels
from cogrl.data.recipes.lime_replies import NEED, OPENING
from cogrl.formats.eips import EIPS, perceived_emotion
from cogrl.types import EMOTIONS

SPOKEN = [
    Utterance(f"u{i}", "The train leaves at noon.", emotion, "mid", "travel") for i, emotion in enumerate(EMOTIONS)
]


@pytest.mark.parametrize(
    ("reply", "emotion", "expected"),
    [
        (Reply("sad", "sad", "sad"), "sad", (2, 2)),
        (Reply("happy", "sad", None), "sad", (1, 0)),
        (Reply(None, "sad", "happy"), "sad", (1, 1)),
        (Reply("happy", "happy", "happy"), "sad", (0, 1)),
        (Reply("neutral", "neutral", "neutral"), "neutral", (0, 1)),
        (Reply("fear", None, None), "neutral", (0, 0)),
    ],
)
def test_a_reaction_and_a_question_count_by_whether_they_are_to_the_speakers_feeling(reply, emotion, expected):
    found = levels(reply, emotion)
    assert (found["ER"], found["EX"]) == expected


def test_no_clause_serves_two_emotions():
    """Else a rating could not be told from the words."""
    openings = {name: [clause for part in parts.values() for clause in part] for name, parts in OPENING.items()}
    for clauses in (openings, NEED, QUESTION):
        everything = [clause for own in clauses.values() for clause in own]
        assert list(clauses) == list(EMOTIONS) and len(set(everything)) == len(everything)
    assert all(question.endswith("?") for own in QUESTION.values() for question in own)


def test_a_reply_holds_its_clauses_and_no_others():
    said = Reply("fear", None, "anger").said(random.Random(0))
    fear = [clause for part in OPENING["fear"].values() for clause in part]
    assert any(said == f"{opening} {question}" for opening in fear for question in QUESTION["anger"])


def test_targets_ask_after_the_feeling_and_keep_the_thought():
    made, plain = ExploringAnnotator().annotate(SPOKEN), TemplateAnnotator().annotate(SPOKEN)
    for spoken in SPOKEN:
        targets, before = made.targets[spoken.id], plain.targets[spoken.id]
        thought, old = EIPS.parse(targets["eips"]), EIPS.parse(before["eips"])
        assert thought.pop("response") == targets["direct"] != before["direct"]
        assert old.pop("response") and thought == old and perceived_emotion(targets["eips"]) == spoken.emotion
        assert targets["direct"].endswith(tuple(QUESTION[spoken.emotion]))
    assert ExploringAnnotator().annotate(SPOKEN).targets == made.targets


def test_what_the_templates_do_not_know_is_rejected():
    made = ExploringAnnotator().annotate([Utterance("u", "Text.", "sad", "mid", "elsewhere")])
    assert not made.targets and "unknown LIME scenario" in made.rejected["u"]
