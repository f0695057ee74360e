"""Phrases in what is drawn, by token ids: as whole words, whatever tokens they come in, and never in the prompt."""

import re

import pytest
import torch

from cogrl.models.tiny import train_tokenizer
from cogrl.rollout.controllers.phrases import Phrases

TEXTS = ["a tone and a stone, tones of background music", "<BGM>noise</BGM> (pitch) Pitch pitches", "in the background"]


@pytest.fixture(scope="module", params=[280, 600], ids=["letters", "words"])
def tokenizer(request):
    """Spells mostly letter by letter, or has most words as entries of their own, with and without a blank."""
    return train_tokenizer(TEXTS * 3, request.param)


def found(tokenizer, phrases, text):
    """Behind which beginnings of a text a phrase was found."""
    finder = Phrases(tokenizer, phrases, torch.device("cpu"))
    finder.begin(3)
    ids, row = tokenizer(text, add_special_tokens=False).input_ids, torch.tensor([1])
    hits = [finder.found(row, torch.tensor([id])).item() for id in ids]
    return [tokenizer.decode(ids[: i + 1]) for i, hit in enumerate(hits) if hit]


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("a tone, and", 1),
        ("tone. Tone; (tone) tone", 3),  # the last one may go on
        ("a stone and tones, atone", 0),
        ("some background  music", 0),
        ("some background music\nhere and background music.", 2),
        ("a background", 0),
    ],
)
def test_d6_phrases_are_whole_words(tokenizer, text, times):
    hits = found(tokenizer, ["tone", "background music"], text)
    assert len(hits) == times
    assert all(re.search(r"(?i)(tone|background music)\W", hit[-17:]) for hit in hits)


def test_d6_a_tag_or_what_another_completion_says_is_no_keyword(tokenizer):
    assert found(tokenizer, ["music"], "<BGM>noise</BGM> a tone") == []
    finder = Phrases(tokenizer, ["tone"], torch.device("cpu"))
    finder.begin(2)
    *word, stop = tokenizer(" tone.", add_special_tokens=False).input_ids
    for id in word:
        finder.found(torch.tensor([0]), torch.tensor([id]))
    assert finder.found(torch.arange(2), torch.tensor([stop, stop])).tolist() == [True, False]


def test_d6_nothing_of_an_earlier_rollout_or_of_the_prompt_is_looked_at(tokenizer):
    finder = Phrases(tokenizer, ["tone"], torch.device("cpu"))
    ids = tokenizer(" tone", add_special_tokens=False).input_ids
    for begin in range(2):
        finder.begin(1)
        hits = [finder.found(torch.tensor([0]), torch.tensor([id])).item() for id in ids]
        assert not any(hits), begin
    finder.begin(1)
    stop = tokenizer(".", add_special_tokens=False).input_ids
    assert not finder.found(torch.tensor([0]), torch.tensor(stop))


def test_a_phrase_that_ends_in_a_bracket_is_found_at_once(tokenizer):
    assert found(tokenizer, ["</BGM>"], "a <BGM>tone</BGM>tone") == ["a <BGM>tone</BGM>"]


def test_an_id_that_the_tokenizer_does_not_have_is_none(tokenizer):
    finder = Phrases(tokenizer, ["tone"], torch.device("cpu"))
    finder.begin(1)
    assert not finder.found(torch.tensor([0]), torch.tensor([len(tokenizer) + 40]))
