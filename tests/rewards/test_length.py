"""Length terms to the last digit."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cogrl.formats.answer import read_answer
from cogrl.rewards.length import LengthWindow, OverlongPenalty
from cogrl.types import Example

EXAMPLE = Example("q", Path("q.wav"), question="Which?", choices=("river", "apple"), answer="river")


def thinking(n, answer="river"):
    """An answer of `n` words between white space."""
    return read_answer(
        f"<think>{' '.join(['hm'] * (n - 1))} </think><answer>{answer}</answer>", "think_choice", EXAMPLE
    )


@pytest.mark.parametrize(
    ("n", "worth"),
    [(3, 3 / 300), (150, 0.5), (299, 299 / 300), (300, 1.0), (800, 1.0), (900, 0.5), (1000, 0.0), (1500, 0.0)],
)
def test_length_is_worth_one_inside_the_window_and_falls_off_linearly(n, worth):
    answer = thinking(n)
    assert len(answer.text.split()) == n
    assert LengthWindow().values([answer]) == [pytest.approx(worth, abs=1e-12)]


def test_length_is_worth_nothing_in_a_wrong_answer_or_with_text_behind_the_answer():
    behind = read_answer(thinking(400).text + " and more", "think_choice", EXAMPLE)
    unknown = read_answer("river", "choice", replace(EXAMPLE, answer=None))
    answers = [thinking(400, "apple"), behind, unknown]
    assert LengthWindow().values(answers) == [0.0, 0.0, None]
    assert LengthWindow().validate(unknown.example).startswith("no answer")


@pytest.mark.parametrize(("tokens", "worth"), [(0, 0.0), (80, 0.0), (85, -0.25), (90, -0.5), (100, -1.0), (130, -1.0)])
def test_the_overlong_penalty_is_dapos(tokens, worth):
    answer = replace(thinking(10), logprobs=torch.zeros(tokens))
    assert OverlongPenalty(max_tokens=100, cache_tokens=20).values([answer]) == [pytest.approx(worth, abs=1e-12)]


def test_without_tokens_there_is_no_overlong_penalty():
    assert OverlongPenalty(100, 20).values([thinking(10)]) == [None]


@pytest.mark.parametrize("settings", [(0, 1, 1), (5, 4, 1), (1, 2, 0)])
def test_senseless_windows_are_refused(settings):
    with pytest.raises(ValueError, match="shortest="):
        LengthWindow(*settings)


@pytest.mark.parametrize("cache", [0, 101])
def test_senseless_caches_are_refused(cache):
    with pytest.raises(ValueError, match=f"cache_tokens={cache}"):
        OverlongPenalty(100, cache)
