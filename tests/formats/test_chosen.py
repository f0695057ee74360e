"""Which choice an answer names: by letter or text; an answer that says more, less or everything names none."""

import pytest

from cogrl.formats.chosen import chosen

CHOICES = ("sad to happy", "happy to sad", "neutral throughout", "sad to angry")


@pytest.mark.parametrize(
    "answer",
    [
        *("B", "b", "B.", "(B)", "[B]", "b)", " B\n", "**B**", '"B"', "B:", "Ｂ", "（B）", "B。"),
        *("happy to sad", "Happy  to sad.", "HAPPY TO SAD", "“happy to sad”"),
        *("B. happy to sad", "(B) happy to sad.", "B) Happy to sad", "B: happy to sad", "B、happy to sad"),
        *("Answer: B", "The answer is B.", "The correct answer is: (B)", "Option B", "The answer is option B"),
        *("答案是B", "正确答案：B", "选B", "选择 B。"),
        "<think>A or B? The end is low.</think>B",
        "<think>A</think>\n\nThe answer is B.",
        "<thought>\n[Perception] sad\n</thought><response>B</response>",
    ],
)
def test_a_letter_a_text_or_both_name_a_choice(answer):
    assert chosen(answer, CHOICES) == "happy to sad"


@pytest.mark.parametrize(
    "answer",
    [
        *("", " ", ".", "<think>", "</think>", "<response></response>"),
        *("I cannot hear the clip.", "I can not hear any audio, so A.", "As an AI, I do not listen", "C'est la vie"),
        *("A, B, C, D", "A B C D", "ABCD", "A or B", "A. sad to happy B. happy to sad", "B and C", "(A)(B)"),
        "A. sad to happy\nB. happy to sad\nC. neutral throughout\nD. sad to angry",
        "sad to happy, happy to sad, neutral throughout, sad to angry",
        *("B. sad to happy", "(A) happy to sad", "B. because the voice falls"),
        *("The answer is not B", "not happy to sad", "happy", "sad", "from happy to sad it goes", "Bravo"),
        *("E", "E. happy to sad", "Z", "5", "1"),
        *("<think>B", "<think>The answer is B", "B <think>", "<thought>\n[Perception] sad\n</thought>B"),
        "<thought></thought><response>A</response><response>B</response>",
    ],
)
def test_anything_else_names_none_and_never_falls_back_to_one(answer):
    assert chosen(answer, CHOICES) is None


def test_the_words_around_an_answer_do_not_make_a_letter():
    letters = tuple(f"choice {n}" for n in range(26))
    assert [chosen(text, letters) for text in ("Answers", "options", "choices", "选 S")] == [None] * 3 + ["choice 18"]


def test_a_text_and_a_letter_that_point_to_different_choices_name_none():
    assert chosen("B", ("B", "A")) is None and chosen("A", ("A", "B")) == "A"
    assert chosen("yes", ("Yes.", "yes!")) is None and chosen("A", ("Yes.", "yes!")) == "Yes."


def test_choices_that_begin_alike_or_with_the_words_of_an_answer_are_told_apart():
    names = ("sad", "sad to happy", "Option B", "the answer is love")
    assert [chosen(text, names) for text in ("sad", "sad to happy", "the answer is love")] == [*names[:2], names[3]]
    assert chosen("Option B", names) is None  # the second choice, or the third in its own words


def test_chinese_choices_are_named_by_letter_or_text():
    choices = ("由悲转喜", "由喜转悲")
    assert chosen("B", choices) == chosen("由喜转悲。", choices) == chosen("B、由喜转悲", choices) == choices[1]
    assert chosen("听不清楚", choices) is None
