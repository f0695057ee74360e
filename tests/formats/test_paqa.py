"""PAQA's trace: strict where it is graded, and an answer that no word of the trace can be mistaken for."""

from pathlib import Path

import pytest

from cogrl.formats.paqa import PAQA, SECTIONS
from cogrl.types import Example

FIELDS = {
    "planning": "what does the low voice say",
    "environment": "rain",
    "speaker": "2: low, high",
    "asr": "low: kettle river; high: window",
    "description": "low is first",
    "reasoning": "low says kettle river",
    "summary": "kettle river",
    "response": "bird family",
    "final_answer": "bird family",
}
QUESTION = Example(
    "q", Path("q.wav"), question="Which?", choices=("a cat", "bird family", "music"), answer="bird family"
)
WHOLE = PAQA.render(FIELDS)


def test_the_trace_is_written_in_the_order_of_its_sections():
    assert list(SECTIONS) == [*list(FIELDS)[:8], "reflect", "final_answer"]
    places = [WHOLE.index(f"<{tag}>") for tag in ("PLANNING", "ENV", "SPEAKER", "ASR", "DESCRIPTION", "REASONING")]
    assert places == sorted(places) and WHOLE.startswith("<THINK><PLANNING>")
    assert PAQA.parse(WHOLE) == FIELDS


def test_the_name_of_the_code_is_read_and_the_reflection_may_be_left_out():
    assert PAQA.parse(WHOLE.replace("ENV>", "BGM>")) == FIELDS
    reflected = PAQA.render(FIELDS | {"reflect": "the rain hid a word"})
    assert PAQA.parse(reflected)["reflect"] == "the rain hid a word"
    assert "reflect" not in PAQA.parse(WHOLE)
    assert PAQA.parse(WHOLE.replace("</ENV>", "</BGM>")) is None


@pytest.mark.parametrize(
    "broken",
    [
        WHOLE.replace("<ENV>rain</ENV>", ""),
        WHOLE.replace("<ENV>rain</ENV>", "<ENV>rain</ENV><ENV>rain</ENV>"),
        WHOLE.replace("<ENV>rain</ENV>", "<ENV><ENV>rain</ENV></ENV>"),
        WHOLE.replace("<ENV>rain</ENV>", "<ENV></ENV>"),
        WHOLE + WHOLE,
        WHOLE + " and more",
        WHOLE.replace("<CAPTION>", "").replace("</CAPTION>", ""),
        WHOLE.replace("</THINK>", ""),
    ],
)
def test_missing_nested_repeated_or_empty_sections_are_not_well_formed(broken):
    assert PAQA.parse(broken) is None


@pytest.mark.parametrize(
    ("final", "chosen"),
    [
        ("bird family", "bird family"),
        ("B", "bird family"),
        ("(b) bird family", "bird family"),
        ("<LETTER>B</LETTER><TEXT>bird family</TEXT>", "bird family"),  # D16: the code read A out of "family"
        ("<LETTER>A</LETTER><TEXT>bird family</TEXT>", ""),
        ("The answer is B, since a bird sang.", ""),  # D16: neither A ("a bird") nor a guess
        ("a cat, bird family, music", ""),  # D17: every option listed
        ("A B C", ""),
        ("I cannot hear the clip", ""),
    ],
)
def test_the_answer_is_the_one_choice_that_is_named(final, chosen):
    text = WHOLE.replace("<FINAL_ANSWER>bird family", f"<FINAL_ANSWER>{final}")
    assert PAQA.answer(text, QUESTION) == chosen


def test_the_final_answer_counts_before_the_response_and_the_response_alone_will_do():
    corrected = WHOLE.replace("<RESPONSE>bird family", "<RESPONSE>music")
    assert PAQA.answer(corrected, QUESTION) == "bird family"
    assert PAQA.answer(WHOLE.partition("<FINAL_ANSWER>")[0], QUESTION) == "bird family"
    assert PAQA.answer(WHOLE.replace("</THINK><RESPONSE>", "</THINK>\n <RESPONSE>"), QUESTION)  # D21
    assert PAQA.answer(WHOLE + "<FINAL_ANSWER>music</FINAL_ANSWER>", QUESTION) == ""
    assert PAQA.answer(WHOLE.partition("</THINK>")[0], QUESTION) == ""
    assert PAQA.answer("<THINK><RESPONSE>music</RESPONSE>", QUESTION) == ""


def test_instruction_and_schema_for_annotators_say_the_same():
    asked, schema = PAQA.instruction(QUESTION), PAQA.json_schema()
    assert list(schema["properties"]) == list(SECTIONS) and "reflect" not in schema["required"]
    for field in schema["required"]:
        assert schema["properties"][field]["description"] in asked
    assert "B. bird family" in asked
