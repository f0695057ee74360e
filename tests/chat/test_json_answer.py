"""Answers in every form a model may give them, and those that must not be guessed at."""

import contextlib
import json
import time

import pytest

from cogrl.chat.json_answer import parse_object

WANTED = {"reasoning": "It names the loss.", "score": 3}
PLAIN = '{"reasoning": "It names the loss.", "score": 3}'

DRESSES = {
    "plain": PLAIN,
    "fenced": f"```json\n{PLAIN}\n```",
    "line comment": '{"reasoning": "It names the loss.", // as it should\n "score": 3 // of 4\n}',
    "block comment": '{"reasoning": "It names the loss.", /* } */ "score": 3}',
    "trailing comma": '{"reasoning": "It names the loss.", "score": 3,\n}',
    "trailing comma before a comment": '{"reasoning": "It names the loss.", "score": 3, // end\n}',
    "prose around it": f"Sure! Here is my answer: {PLAIN} I hope that helps.",
    "a link before it": f"See http://example.org for the rubric. {PLAIN}",
    "a thought before it": f'<think>Perhaps {{"score": 1}}? No.</think>\n{PLAIN}',
    "braces in prose": f"{{thinking}} {PLAIN}",
    "said twice, the same": f"{PLAIN}\n\n{PLAIN}",
    "an open brace after it": PLAIN + " {",
}


@pytest.mark.parametrize("name", DRESSES)
def test_the_object_is_read_in_any_dress(name):
    assert parse_object(DRESSES[name]) == WANTED


@pytest.mark.parametrize("text", ["http://a//b", "/* no comment */", "a } brace {", 'a "quote"', "x,}", "back\\slash"])
def test_strings_are_left_as_they_are(text):
    assert parse_object(json.dumps({"reasoning": text})) == {"reasoning": text}


def test_a_line_break_inside_a_string_is_forgiven():
    assert parse_object('{"reasoning": "two\nlines"}') == {"reasoning": "two\nlines"}


REFUSED = {
    "nothing": ("", "no JSON object"),
    "prose": ("I would say 3.", "no JSON object"),
    "a list": ("[3]", "no JSON object"),
    "cut off": (PLAIN[:-1], "cut off"),
    "cut off in a string": (PLAIN[:20], "cut off"),
    "equal signs": (PLAIN.replace(":", "="), "no valid JSON"),
    "two that differ": (f'The reply says {{"score": 4}}, but {PLAIN}', "2 JSON objects that differ"),
    "a key twice": ('{"score": 1, "score": 4}', "twice"),
    "not a number": ('{"score": NaN}', "NaN"),
    "too deep": ('{"a":' + "[" * 50_000 + "}", "no valid JSON"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_read_in_one_way_is_refused(name):
    answer, reason = REFUSED[name]
    with pytest.raises(ValueError, match=reason):
        parse_object(answer)


@pytest.mark.parametrize("unit", ["{", "{}", '{"', '\\"', "/* ", "//", '{"a":1}', '"', ", "])
def test_a_hostile_answer_does_not_take_quadratic_time(unit):
    start = time.monotonic()
    for answer in (unit * 20_000, "{" + unit * 20_000):
        with contextlib.suppress(ValueError):
            parse_object(answer)
    assert time.monotonic() - start < 5  # quadratic: a billion steps and more


def test_half_a_surrogate_pair_is_unusable_and_a_whole_one_is_a_character():
    with pytest.raises(ValueError, match="half a surrogate pair"):
        parse_object(r'{"response": "Well \ud83d."}')
    assert parse_object(r'{"response": "\ud83d\ude00"}') == {"response": "😀"}
