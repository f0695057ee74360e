"""Accuracy shaped by confidence: which token decides, and what it is worth."""

import math
from dataclasses import replace

import pytest
import torch
from echo_answers import QUESTION, RIGHT, answer

from cogrl.formats.answer import read_answer
from cogrl.rewards.echo.confidence import ConfidentAccuracy, deciding_token, leaves_at
from cogrl.rewards.echo.right_segments import RightSegments


def sampled(text, probabilities):
    """The answer, cut into a token for each word, and how likely some of them were."""
    ends = [place for place, letter in enumerate(text) if letter in " >"] + [len(text)]
    ends = sorted({end + 1 for end in ends if end + 1 <= len(text)} | {len(text)})
    logprobs = torch.full((len(ends) + 1,), math.log(0.5))
    for place, probability in probabilities.items():
        logprobs[next(i for i, end in enumerate(ends) if end > place)] = math.log(probability)
    return answer(text, logprobs=logprobs, token_ends=[*ends, len(text)])


def test_e11_confidence_is_that_of_the_first_token_of_the_answer_or_of_the_first_wrong_one():
    start = RIGHT.index("a dog")
    right = sampled(RIGHT, {start: 0.9})
    assert ConfidentAccuracy().values([right]) == pytest.approx([1 - 0.1**2])
    wrong = sampled(RIGHT.replace("a dog", "a cat"), {start: 0.9, start + 2: 0.2})  # both begin with "a "
    assert ConfidentAccuracy().values([wrong]) == pytest.approx([-(0.2**2)])
    shorter = sampled(RIGHT.replace("a dog", "a"), {})
    assert 0 <= deciding_token(shorter, False) < len(shorter.token_ends)
    assert ConfidentAccuracy().values([sampled("<think>cut", {}), answer(RIGHT), answer("")]) == [0.0, 1.0, 0.0]
    (lost,) = ConfidentAccuracy().accuracy.values([right])
    assert lost == 1.0
    with pytest.raises(ValueError, match="gave no token_ends"):
        ConfidentAccuracy().values([answer(RIGHT, logprobs=torch.zeros(3))])


def drawn_as(said, **probabilities):
    """The answer whose tokens are these pieces behind the thought; `_1=0.3` is the probability of the second."""
    pieces = ["<think>so", "</think>", "<answer>", *said]
    ends = [sum(map(len, pieces[: count + 1])) for count in range(len(pieces))]
    likely = [0.9] * 3 + [probabilities.get(f"_{place}", 0.9) for place in range(len(said))]
    return answer("".join(pieces), logprobs=torch.tensor(likely).log(), token_ends=ends)


@pytest.mark.parametrize(
    ("said", "decides"),
    [
        (["a", " cat", "</answer>"], 1),
        (["A", "</answer>"], 0),  # the letter of another choice, not the "a" of "a dog"
        (["(", "A", ")", "</answer>"], 1),
        (["C", ".", " a", " cat", "</answer>"], 0),
        (["D", ".", " a", " cat", "</answer>"], 3),  # gold's letter before another text
        ([" ", "a", " woman", "</answer>"], 2),
        (["A", " ", "c", "at", "</answer>"], 2),
        (["a", " d", "</answer>"], 2),  # too short: where the rest of gold was due
        (["none", "</answer>"], 0),
    ],
)
def test_e11_a_wrong_answer_is_decided_where_it_leaves_the_text_or_the_letter_of_gold(said, decides):
    one = drawn_as(said, **{f"_{decides}": 0.3})
    assert deciding_token(one, False) == 3 + decides
    assert ConfidentAccuracy().values([one]) == pytest.approx([-(0.3**2)]), "whether it names a choice or none"


def test_e11_characters_are_counted_in_the_text_as_it_was_drawn():
    gold = replace(QUESTION, choices=("die Straße oben", "die Straße unten"), answer="die Straße oben")
    assert leaves_at("DIE STRAßE UNTEN", gold) == len("die Straße "), "ß is two letters where case is folded"


def test_confidence_has_no_place_in_a_format_without_answer_tags():
    plain = read_answer("a dog", "choice", QUESTION, logprobs=torch.zeros(3), token_ends=[2, 5, 5])
    with pytest.raises(ValueError, match="format choice has no <answer>"):
        ConfidentAccuracy().values([plain])


def test_confidence_reaches_the_segments():
    right = sampled(RIGHT, {RIGHT.index("a dog"): 0.9})
    wrong = sampled(RIGHT.replace("a dog", "a cat"), {})
    assert RightSegments(accuracy=ConfidentAccuracy()).values([right, wrong]) == pytest.approx([0.99, 0.0])
