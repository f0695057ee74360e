"""The format of Echo: what is asked, what is written, and what is read of it."""

import random
import re
from pathlib import Path

import pytest

from cogrl.formats import format_named
from cogrl.formats.echo import ECHO
from cogrl.formats.segments import SegmentRules
from cogrl.types import Example

QUESTION = Example(
    "q", Path("q.wav"), question="Which animal?", choices=("a cat", "a dog"), answer="a dog", where="m.jsonl:3"
)
OPEN = Example("o", Path("o.wav"), question="What is heard?")
WHOLE = "<think>Who barks? <seg>1.5, 2.25</seg> It is deep. <seg>3, 4</seg></think><answer>B</answer>"


def test_what_is_asked_says_how_to_cite_in_both_languages():
    asked = ECHO.instruction(QUESTION)
    assert asked.startswith("Which animal?\nA. a cat\nB. a dog\nThink first, between <think> and </think>; ")
    assert "<seg>start, end</seg>, in seconds" in asked and "by its letter or its text, between <answer>" in asked
    asked = ECHO.instruction(OPEN)
    assert asked.startswith("What is heard?\n") and "give the answer between" in asked and "letter" not in asked
    chinese = ECHO.instruction(Example("z", Path("z.wav"), question="谁?", choices=("猫", "狗"), language="zh"))
    assert "<seg>开始, 结束</seg>，单位为秒" in chinese and "选项的字母或内容。" in chinese


def test_the_instruction_itself_cites_nothing_that_could_be_inserted():
    found = SegmentRules().citations(ECHO.instruction(QUESTION), 10.0)
    assert [one.invalid for one in found] == ["malformed"]


def test_the_thinking_is_texts_and_segments_in_their_order():
    fields = ECHO.parse(WHOLE)
    pieces = ("Who barks? ", {"times": "1.5, 2.25"}, " It is deep. ", {"times": "3, 4"})
    assert fields == {"thinking": pieces, "answer": "B"}
    assert ECHO.render(fields) == WHOLE and ECHO is format_named("echo")
    text = WHOLE[len("<think>") : WHOLE.index("</think>")]
    assert ECHO.render({"thinking": text, "answer": "B"}) == WHOLE, "one text with its tags is rendered, too"
    spaced = "<think> why <seg> 1, 2 </seg> so </think>\n<answer> B </answer>\n"
    assert ECHO.parse(spaced) == {"thinking": (" why ", {"times": "1, 2"}, " so "), "answer": "B"}


@pytest.mark.parametrize("times", ["1..2, 3", "the knock", "2, 1", "9, 99"])
def test_times_are_no_matter_of_form(times):
    text = f"<think>why <seg>{times}</seg> so</think><answer>B</answer>"
    assert ECHO.parse(text)["thinking"] == ("why ", {"times": times}, " so")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<think>why <seg>1, 2 so</think><answer>B</answer>",
        "<think>why 1, 2</seg> so</think><answer>B</answer>",
        "<think>why <seg></seg> so</think><answer>B</answer>",
        "<think>why < seg>1, 2</seg> so</think><answer>B</answer>",
        "<think>why <seg>1, <seg>2</seg></seg> so</think><answer>B</answer>",
        "<think><seg>1, 2</seg></think><answer>B</answer>",
        "<think></think><answer>B</answer>",
        "<think>why</think><answer>B <seg>1, 2</seg></answer>",
        "<think>why</think><answer>B</answer><seg>1, 2</seg>",
        "<think>why</think><seg>1, 2</seg><answer>B</answer>",
        "<think>why <answer>B</answer></think>",
        "<think>why</think><think>why</think><answer>B</answer>",
        "<answer>B</answer><think>why</think>",
        "<think>why</think><answer>B</answer> and more",
    ],
)
def test_what_is_not_well_formed_has_no_fields(text):
    assert ECHO.parse(text) is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"thinking": "why <seg>1, 2", "answer": "B"}, "can not be read again"),
        ({"thinking": "why </think>", "answer": "B"}, "can not be read again"),
        ({"thinking": "why", "answer": ""}, "can not be read again"),
        ({"answer": "B"}, "field 'thinking' is missing"),
        ({"thinking": "why"}, "field 'answer' is missing"),
        ({"thinking": "why", "answer": "B", "seg": "1, 2"}, "no such fields: seg"),
    ],
)
def test_fields_that_can_not_be_read_again_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ECHO.render(fields)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (WHOLE, "a dog"),
        ("<think>why <seg>1, 2 so</think><answer>B. a dog</answer>", "a dog"),  # more lenient than `parse`
        ("<think>why <answer>B</answer></think>", ""),
        ("<think>why <answer>B</answer></think><answer>B</answer>", ""),
        ("<think>why</think><answer>B <seg>1, 2</seg></answer>", ""),
        ("<think>why</think><answer>A, B</answer>", ""),
        ("<think>why</think><answer>it</answer>", ""),
        ("<think>why</think>B", ""),
    ],
)
def test_e13_an_answer_that_names_no_choice_is_none_and_never_the_first(text, answer):
    assert ECHO.answer(text, QUESTION) == answer


def test_an_open_answer_is_its_text():
    assert ECHO.answer("<think>why <seg>1, 2</seg> so</think><answer> o o e a </answer>", OPEN) == "o o e a"


def test_random_thoughts_with_random_segments_come_back():
    rng = random.Random(0)
    for _ in range(300):
        pieces = [rng.choice(("so", "1, 2", "a < b", "</b>", f"<seg>{rng.random():.2f}, 2</seg>")) for _ in range(5)]
        text = ECHO.render({"thinking": " ".join(["why", *pieces]), "answer": "a dog"})
        assert ECHO.render(ECHO.parse(text)) == text
        marks = list(re.finditer("</?seg>", text))
        mark = rng.choice(marks) if marks else None
        if mark:
            assert ECHO.parse(text[: mark.start()] + text[mark.end() :]) is None
