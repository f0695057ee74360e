"""What of a manifest line is a dialogue with a cause to think about."""

from pathlib import Path

import pytest

from cogrl.data.recipes.ieat_dialogue import Dialogue, dialogue_of
from cogrl.types import Example, Turn


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
