"""One schema object holds nested tags, steps, optional parts and repeated segments, and parses each strictly."""

import pytest

from cogrl.formats.schema import Maybe, Mixed, Schema, Steps, Tag, Text

PAQA = Schema(
    Tag(
        "THINK",
        Tag("PLANNING", Text("planning")),
        Tag("CAPTION", *(Tag(name.upper(), Text(name)) for name in ("bgm", "speaker", "asr"))),
        Tag("REASONING", Text("reasoning")),
    ),
    Tag("RESPONSE", Text("response")),
    Maybe(Tag("REFLECT", Text("reflect"))),
    Tag("FINAL_ANSWER", Text("final")),
)
PERCEIVED = {
    **{"planning": "Listen twice.", "bgm": "rain", "speaker": "a < b", "asr": "we leave at [five]"},
    **{"reasoning": "Two voices.", "response": "A", "final": "B"},
}
ECHO = Schema(Tag("think", Mixed("thinking", Tag("seg", Text("span")))), Tag("answer", Text("answer")))
STEPS = Schema(Tag("thought", Steps("See", "Say"), opened="\n"), Text("reply"))


def test_nested_tags_and_an_optional_part_are_rendered_and_read_back():
    with_doubt = PERCEIVED | {"reflect": "The second voice is lower."}
    assert PAQA.parse(PAQA.render(PERCEIVED)) == PERCEIVED
    assert PAQA.parse(PAQA.render(with_doubt)) == with_doubt
    assert "</RESPONSE><REFLECT>The second voice is lower.</REFLECT><FINAL_ANSWER>" in PAQA.render(with_doubt)


def test_white_space_around_tags_is_free_and_is_no_part_of_a_field():
    text = PAQA.render(PERCEIVED).replace("<", "\n <").replace("a \n <", "a <")
    assert PAQA.parse(text + "\n") == PERCEIVED


def test_segments_repeat_with_text_between_them():
    text = "<think>First <seg>0.5, 1.2</seg> a dog, <seg>2, 3</seg><seg>3, 4</seg>.</think><answer>dog</answer>"
    pieces = ("First ", {"span": "0.5, 1.2"}, " a dog, ", {"span": "2, 3"}, {"span": "3, 4"}, ".")
    assert ECHO.parse(text) == {"thinking": pieces, "answer": "dog"}
    assert ECHO.render({"thinking": pieces, "answer": "dog"}) == text
    assert ECHO.parse("<think>Heard.</think><answer>dog</answer>") == {"thinking": ("Heard.",), "answer": "dog"}


@pytest.mark.parametrize(
    "change",
    [
        ("<PLANNING>", ""),
        ("</PLANNING>", ""),
        ("</FINAL_ANSWER>", ""),
        ("<FINAL_ANSWER>B</FINAL_ANSWER>", ""),
        ("<RESPONSE>A</RESPONSE>", "<RESPONSE>A</RESPONSE><RESPONSE>A</RESPONSE>"),
        ("<RESPONSE>A</RESPONSE>", "<RESPONSE><RESPONSE>A</RESPONSE></RESPONSE>"),
        ("<RESPONSE>A</RESPONSE>", "<RESPONSE> </RESPONSE>"),
        ("<RESPONSE>A</RESPONSE>", "<REFLECT>no</REFLECT><RESPONSE>A</RESPONSE>"),
        ("<RESPONSE>A</RESPONSE>", "<RESPONSE>A</RESPONSE><REFLECT>a</REFLECT><REFLECT>b</REFLECT>"),
        ("<THINK>", "Well. <THINK>"),
        ("</THINK>", "more</THINK>"),
        ("</THINK><RESPONSE>", "<RESPONSE></THINK>"),
        ("</FINAL_ANSWER>", "</FINAL_ANSWER>left over"),
        ("rain", "rain<SPEAKER>x</SPEAKER>"),
        ("rain", "rain</bgm>"),
        ("rain", "rain< BGM >"),
        ("rain", "rain<BGM"),
    ],
)
def test_a_tag_that_is_missing_repeated_misordered_misspelled_or_open_and_text_left_over_give_none(change):
    text = PAQA.render(PERCEIVED)
    assert text.replace(*change) != text
    assert PAQA.parse(text.replace(*change)) is None


@pytest.mark.parametrize(
    "text",
    [
        "<think><seg>1, 2</seg></think><answer>dog</answer>",
        "<think>a <seg>1, <seg>2</seg></seg></think><answer>dog</answer>",
        "<think>a <seg>1, 2</think></seg><answer>dog</answer>",
        "<think>a <seg></seg></think><answer>dog</answer>",
        "<think>a</think><seg>1, 2</seg><answer>dog</answer>",
        "<think>a</think><answer>dog <seg>1, 2</seg></answer>",
        "<think>a <seg>1, 2</seg>",
    ],
)
def test_segments_stand_only_in_the_text_that_may_hold_them(text):
    assert ECHO.parse(text) is None


def test_steps_are_lines_in_order_without_brackets():
    assert (
        STEPS.render({"see": "rain", "say": "wet", "reply": "Oh."}) == "<thought>\n[See] rain\n[Say] wet\n</thought>Oh."
    )
    assert STEPS.parse("<thought>[See] rain\n[Say] wet\n</thought>Oh [See].")["reply"] == "Oh [See]."
    for steps in ("[Say] wet\n[See] rain\n", "[See] rain\n", "[See] a [b]\n[Say] c\n", "[See]  \n[Say] c\n", "[See] a"):
        assert STEPS.parse(f"<thought>{steps}</thought>Oh.") is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (PERCEIVED | {"mood": "x"}, "no such fields: mood; known: planning"),
        ({key: PERCEIVED[key] for key in ("planning", "bgm")}, "'speaker' is missing"),
        (PERCEIVED | {"asr": "</ASR>"}, "can not be read again"),
        (PERCEIVED | {"asr": " "}, "can not be read again"),
    ],
)
def test_nothing_is_rendered_that_would_not_be_read_again(fields, message):
    with pytest.raises(ValueError, match=message):
        PAQA.render(fields)


def test_a_grammar_with_two_parts_of_one_name_is_refused():
    with pytest.raises(ValueError, match="used twice"):
        Schema(Tag("a", Text("said")), Tag("b", Text("said")))
    with pytest.raises(ValueError, match="used twice"):
        Schema(Tag("a", Text("x")), Tag("a", Text("y")))
