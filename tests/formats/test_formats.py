"""What each format asks, writes and reads; strict where a completion is graded, lenient where it is only heard."""

import random
import re
from pathlib import Path

import pytest

from cogrl.formats import FORMATS, format_named
from cogrl.formats.eips import EIPS, STEPS
from cogrl.formats.paqa import SECTIONS
from cogrl.types import Example

OLD_EIPS = re.compile(
    r"\s*<thought>\s*"
    + r"\s*".join(rf"\[{step}\] (?P<{step.lower()}>[^\[\]<>\n]+)\n" for step in STEPS)
    + r"\s*</thought>\s*<response>(?P<response>[^<>]+)</response>\s*"
)
"""The grammar as one regular expression: an oracle for the schema."""
THOUGHT = {
    **{"perception": "sad, low: a flat voice", "intent": "To vent.", "psychology": "Alone."},
    **{"strategy": "Comfort.", "response": "I am here."},
}


def example(**fields):
    base = {"id": "x", "audio": Path("x.wav"), "split": "test", "text": "w", "text_group": "w", "speaker": "s"}
    return Example(**base | {"emotion": "sad", "where": "m.jsonl:3"} | fields)


SPOKEN = example()
OPEN = example(question="What is heard?")
QUESTION = example(question="Which animal?", choices=("a cat", "a dog"), answer="a dog")
EXAMPLES = {"eips": SPOKEN, "direct": SPOKEN, "ieat": SPOKEN, "choice": QUESTION, "think_choice": QUESTION}
EXAMPLES |= {"paqa": QUESTION, "caption": QUESTION, "echo": QUESTION}
FIELDS = {
    "eips": THOUGHT,
    "direct": {"response": "I am here."},
    "ieat": {"thinking": "They moved it.", "reply": "Oh no."},
    "choice": {"answer": "B"},
    "think_choice": {"thinking": "It barks.", "answer": "B"},
    "echo": {"thinking": ("Something ", {"times": "1.5, 2"}, " barks."), "answer": "B"},
    "caption": {"caption": "A dog barks."},
    "paqa": {field: "it barks" for field in SECTIONS} | {"response": "A", "final_answer": "B. a dog"},
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_reads_what_it_renders_and_asks_what_it_validates(name):
    chosen = format_named(name)
    assert chosen.name == name
    text = chosen.render(FIELDS[name])
    assert chosen.parse(text) == FIELDS[name]
    assert chosen.validate(EXAMPLES[name]) is None and chosen.instruction(EXAMPLES[name])
    said = {"eips": "I am here.", "direct": "I am here.", "ieat": "Oh no.", "caption": "A dog barks."}
    assert chosen.answer(text, EXAMPLES[name]) == said.get(name, "a dog")
    assert chosen.parse("") is None and chosen.answer("", EXAMPLES[name]) == ""


def test_eips_accepts_what_one_regular_expression_accepts_but_for_empty_fields():
    pieces = ["<thought>", "</thought>", "<response>", "</response>", "\n", " ", "[", "<", "a b", "é"]
    pieces += [f"[{step}] " for step in STEPS]
    draw, whole = random.Random(0), EIPS.render(THOUGHT)
    tokens = re.findall(r"</?\w+>|\[\w+\] |\n|[^<\[\n]+", whole)
    assert "".join(tokens) == whole
    accepted = 0
    for _ in range(4000):
        text = list(tokens)
        for _ in range(draw.randint(1, 2)):
            place = draw.randrange(len(text) + 1)
            match draw.randrange(3):
                case 0:
                    text[place : place + 1] = []
                case 1:
                    text.insert(place, draw.choice(pieces))
                case 2:
                    text[place : place + 1] = [draw.choice(pieces)]
        found = OLD_EIPS.fullmatch("".join(text))
        fields = {name: value.strip() for name, value in found.groupdict().items()} if found else None
        expected = fields if fields and all(fields.values()) else None
        assert EIPS.parse("".join(text)) == expected, "".join(text)
        accepted += expected is not None
    assert 200 < accepted < 3800


def test_a_direct_reply_holds_no_thought():
    direct = format_named("direct")
    for text in ("<thought>", "Oh. [Intent] x", "<think>\nsad\n</think>\n\nOh.", "<response>Oh.</response>"):
        assert direct.parse(text) is None and direct.answer(text, SPOKEN) == ""
    assert direct.answer(" 3 < 4 \n", SPOKEN) == "3 < 4"


def test_eips_is_heard_up_to_where_it_was_cut_and_only_once():
    assert EIPS.answer("<thought>…<response>I am", SPOKEN) == "I am"
    assert EIPS.answer("<response>a</response><response>b</response>", SPOKEN) == "" == EIPS.answer("Hello", SPOKEN)


def test_ieat_opens_with_the_thinking_and_an_empty_line_and_speaks_only_the_reply():
    ieat, text = format_named("ieat"), "<think>\nThey moved it.\n</think>\n\nOh no."
    assert ieat.render(FIELDS["ieat"]) == text
    assert ieat.answer(text, SPOKEN) == ieat.answer("Oh no.", SPOKEN) == "Oh no." and ieat.parse("Oh no.") is None
    assert ieat.answer("<think>\n\n</think>\n\nOh no.", SPOKEN) == "Oh no."


@pytest.mark.parametrize(
    "text",
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
def test_a_thinking_tag_out_of_place_says_nothing_rather_than_a_thought(text):
    assert format_named("ieat").answer(text, SPOKEN) == "" and format_named("ieat").parse(text) is None


def test_a_choice_is_asked_with_letters_and_an_order_in_the_language_of_the_line():
    order = "Answer with one choice, by its letter or its text, and nothing else."
    assert FORMATS["choice"].instruction(QUESTION) == f"Which animal?\nA. a cat\nB. a dog\n{order}"
    assert (
        FORMATS["choice"]
        .instruction(example(question="谁?", choices=("猫", "狗"), language="zh"))
        .endswith("字母或内容。")
    )
    asked = FORMATS["think_choice"].instruction(QUESTION)
    assert (
        asked.startswith("Which animal?\nA. a cat\nB. a dog\n")
        and "by its letter or its text, between <answer>" in asked
    )


def test_an_open_question_is_asked_as_it_is_and_its_answer_is_the_text():
    assert FORMATS["choice"].instruction(OPEN) == "What is heard?"
    assert FORMATS["choice"].answer("<think>hm</think> A dog. ", OPEN) == "A dog."
    assert "letter" not in FORMATS["think_choice"].instruction(OPEN)
    assert FORMATS["think_choice"].answer("<think>hm</think><answer> A dog.</answer>", OPEN) == "A dog."
    assert FORMATS["think_choice"].answer("<answer>3 < 5</answer>", OPEN) == "3 < 5"
    assert FORMATS["think_choice"].answer("<answer><answer>A dog</answer>", OPEN) == ""


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>It barks.</think><answer>B</answer>", "a dog"),
        ("<think>It barks.</think>\n<answer> (b) a dog. </answer>\n", "a dog"),
        ("<answer>The answer is B</answer>", "a dog"),
        ("So: <answer>B</answer> it is", "a dog"),
        ("<think>It barks.</think>B", ""),
        ("<think>It barks.<answer>B</answer>", ""),
        ("<think><answer>B</answer></think>", ""),
        ("<answer>B</answer><think>It barks.", "a dog"),
        ("<answer>A</answer><answer>B</answer>", ""),
        ("<answer><answer>B</answer></answer>", ""),
        ("</answer><answer>B</answer>", ""),
        ("<answer>B</answer><answer>", ""),
        ("<think>It barks.</think><answer>B", ""),
        ("<think>It barks.</think><answer>A or B</answer>", ""),
        ("<think>It barks.</think><answer>C</answer>", ""),
        ("<think>It barks.</think><answer></answer>", ""),
        ("B", ""),
    ],
)
def test_the_answer_tag_is_read_strictly(text, answer):
    assert FORMATS["think_choice"].answer(text, QUESTION) == answer


def test_an_example_that_can_not_be_asked_is_refused_with_what_to_do():
    assert "no question, which format choice asks; add question" in FORMATS["choice"].validate(SPOKEN)
    assert "has a question, which format eips does not ask" in FORMATS["eips"].validate(QUESTION)
    many = example(question="Which?", choices=tuple(map(str, range(27))))
    with pytest.raises(ValueError, match=r"m\.jsonl:3 \(x\): 27 choices, but only 26 letters; leave the line out"):
        FORMATS["think_choice"].instruction(many)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean think_choice"):
        format_named("thinkchoice")
    with pytest.raises(ValueError, match="known: eips, direct, ieat, choice, think_choice"):
        format_named("A")


def test_an_own_format_is_named_by_its_import_path(tmp_path, monkeypatch):
    (tmp_path / "own_formats.py").write_text(
        "from cogrl.formats import FORMATS, Format\n"
        "class Terse(type(FORMATS['direct'])):\n"
        "    def instruction(self, example):\n"
        "        return 'Say one word.'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    own = format_named("own_formats.Terse")
    assert (own.name, own.instruction(SPOKEN)) == ("own_formats.Terse", "Say one word.")
    assert own is format_named("own_formats.Terse") and FORMATS["direct"].name == "direct"
    for path, message in (
        ("own_formats.Absent", "no attribute 'Absent'"),
        ("absent_formats.Terse", "is its folder on PYTHONPATH"),
        ("own_formats.FORMATS", "a subclass of cogrl.formats.Format"),
    ):
        with pytest.raises(ValueError, match=message):
            format_named(path)
