"""A clip with two voices in rain, the trace that says all of it, and traces with one field changed."""

from pathlib import Path

from paqa_trace import FIELDS

from cogrl.formats.answer import read_answer
from cogrl.formats.paqa import PAQA
from cogrl.types import Example, SpokenTurn

EXAMPLE = Example(
    "q1",
    Path("q1.flac"),
    "train",
    question="What does the low voice say?",
    choices=("window apple", "kettle river", "kettle apple", "garden river"),
    answer="kettle river",
    speech=(SpokenTurn("low", 0.2, 1.0, "kettle river"), SpokenTurn("high", 1.2, 2.0, "window apple")),
    environment="rain",
    snr_db=5.0,
    where="train.jsonl:3",
)


def trace(**changed):
    """The text of the whole trace, with these fields changed."""
    return PAQA.render(FIELDS | changed)


def answered(text=None, example=EXAMPLE, **changed):
    """The answer with this text, else the whole trace with some fields changed."""
    return read_answer(trace(**changed) if text is None else text, "paqa", example)
