"""Defects of HyPeR's public rewards (https://github.com/JOY-SWang/HyPeR), each by its number, where they had cost.

D18 (background) and D19 (copied transcript) are in test_axes.py, with the axes that they are of.
"""

from dataclasses import replace

import pytest
from traces import EXAMPLE, answered, trace

from cogrl.formats.answer import read_answer
from cogrl.formats.paqa import PAQA
from cogrl.rewards.accuracy import Accuracy
from cogrl.rewards.format import well_formed

BIRDS = replace(EXAMPLE, question="What sings?", choices=("a dog barking", "bird family"), answer="bird family")


def accuracy(answer):
    return Accuracy().values([answer])[0]


@pytest.mark.parametrize("final", ["bird family", "B", "<LETTER>B</LETTER><TEXT>bird family</TEXT>", "(b) bird family"])
def test_d16_no_letter_is_read_out_of_a_word(final):
    assert accuracy(answered(example=BIRDS, response=final, final_answer=final)) == 1.0
    prose = "The answer is B, since a bird sang."
    assert accuracy(answered(example=BIRDS, response=prose, final_answer=prose)) == 0.0, "not A, and no guess either"


def test_d17_an_answer_is_no_substring_and_a_gold_text_is_no_letter():
    every = ", ".join(BIRDS.choices)
    assert accuracy(answered(example=BIRDS, response=every, final_answer=every)) == 0.0
    dog = replace(BIRDS, answer="a dog barking")
    assert accuracy(answered(example=dog, final_answer="a dog barking")) == 1.0
    assert accuracy(answered(example=dog, final_answer="a")) == 1.0, "the letter of its choice"
    assert accuracy(answered(example=dog, final_answer="a dog barking or not")) == 0.0


def test_d20_the_prompt_holds_nothing_of_what_is_to_be_heard():
    hidden = replace(EXAMPLE, question="Who speaks first?", choices=("one", "two"), answer="one")
    asked = PAQA.instruction(hidden).split()
    assert not {"rain", "kettle", "river", "window", "apple", "low", "high"} & set(asked)


def test_d21_form_asks_for_every_section_once_and_for_no_white_space():
    assert "</THINK><RESPONSE>" in trace() and well_formed(answered()) == 1.0
    assert well_formed(answered(trace().replace("<ENV>", "<BGM>").replace("</ENV>", "</BGM>"))) == 1.0
    for tag in ("PLANNING", "ENV", "SPEAKER", "ASR", "DESCRIPTION", "REASONING", "SUMMARY", "RESPONSE", "FINAL_ANSWER"):
        before, _, rest = trace().partition(f"<{tag}>")
        inside, _, after = rest.partition(f"</{tag}>")
        assert well_formed(answered(before + after)) == 0.0, f"without {tag}"
        twice = f"<{tag}>{inside}</{tag}>" * 2
        assert well_formed(answered(before + twice + after)) == 0.0, f"{tag} twice"
    cot = "<THINK><PLANNING>p</PLANNING><CAPTION>c</CAPTION><REASONING>r</REASONING></THINK><RESPONSE>B</RESPONSE>"
    assert well_formed(read_answer(cot, "paqa", EXAMPLE)) == 0.0, "no 0.8 for a trace without sections"


def test_d22_options_have_letters_in_the_prompt_and_gold_is_a_text():
    lines = PAQA.instruction(EXAMPLE).splitlines()
    assert lines[1:5] == ["A. window apple", "B. kettle river", "C. kettle apple", "D. garden river"]
    assert accuracy(answered(final_answer="B")) == accuracy(answered(final_answer="kettle river")) == 1.0
