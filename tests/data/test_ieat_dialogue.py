"""The form of an IEAT target: thinking is trained as text and never spoken."""

from pathlib import Path

import pytest

from cogrl.data.recipes.ieat_dialogue import Dialogue, Thought, dialogue_of, spoken
from cogrl.types import Example, Turn

THOUGHT = Thought(
    'I hear a shaky voice. The user feels fear, because "they moved the exam".', '"they moved the exam"', "Oh no."
)


def test_a_target_opens_with_the_thinking_and_an_empty_line():
    assert THOUGHT.render() == f"<think>\n{THOUGHT.thinking}\n</think>\n\nOh no."


def test_only_the_reply_is_spoken():
    assert spoken(THOUGHT.render()) == "Oh no."
    assert spoken("Oh no.") == "Oh no."
    assert spoken("<think>\n\n</think>\n\nOh no.") == "Oh no."


@pytest.mark.parametrize(
    "target",
    [
        "<think>\nI hear fear.",
        "<think>\nI hear fear.\n</think>\nOh no.",
        "<think>\nI hear fear.\n</think> Oh no.",
        " <think>\nI hear fear.\n</think>\n\nOh no.",
        "<think>I hear fear.</think>\n\nOh no.",
        "Oh no. <think>\nI hear fear.\n</think>\n\n",
        "I hear fear.\n</think>\n\nOh no.",
        "<think>\n<think>\nfear\n</think>\n\nOh no.",
        "<think>\nfear\n</think>\n\nOh no.\n</think>\n\nStill.",
        "<think>\nfear\n</think>\n\n<Think>more",
        "<think>\nfear\n</think>\n\n< think >more",
    ],
)
def test_a_tag_out_of_place_says_nothing_rather_than_a_thought(target):
    with pytest.raises(ValueError, match="nothing can be spoken safely"):
        spoken(target)


def example(**change):
    turns = (Turn("Hello there.", Path("t.flac"), None, "Go on."), Turn("It came.", Path("u.flac"), "sad"))
    fields = {"emotion": "sad", "turns": turns, "intensity": "low", "language": "en", "synthesis": {"cause_turn": 1}}
    return Example(
        **{"id": "d", "audio": Path("a.flac"), "split": "x", "text": "So.", "text_group": "g", "speaker": "s"}
        | fields
        | change
    )


def test_a_line_gives_its_words_labels_and_replies_in_order():
    assert dialogue_of(example()) == Dialogue(
        "d", ("Hello there.", "It came.", "So."), (None, "sad", "sad"), ("Go on.", ""), "low", "en", 1
    )
    assert dialogue_of(example(synthesis={})).cause is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"turns": ()}, "no earlier turns"), ({"emotion": None}, "no emotion"), ({"text": ""}, "no text")],
)
def test_a_line_without_history_label_or_text_is_no_dialogue_to_think_about(change, reason):
    with pytest.raises(ValueError, match=reason):
        dialogue_of(example(**change))
