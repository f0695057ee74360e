"""Words against voice: which clips conflict."""

from math import isnan
from pathlib import Path

import pytest

from cogrl.data.manifest import read_manifest, write_manifest
from cogrl.data.recipes.lime_sentences import SENTENCES
from cogrl.evaluate.polarity import best_by_words, part, polar_examples, text_sentiment
from cogrl.types import EMOTIONS, SENTIMENTS, Example


def spoken(text: str, emotion: str, **fields) -> Example:
    return Example("c1", Path("c1.flac"), "test", text, "t1", "s1", emotion, **fields)


@pytest.mark.parametrize(
    ("text", "sentiment"),
    [
        ("What a wonderful day!", "positive"),
        ("I lost everything in the crash.", "negative"),
        ("The report is on the desk.", "neutral"),
        ("I am not happy about it.", "negative"),
        ("It wasn't a problem.", "positive"),
        ("There was never any trouble with them.", "positive"),
        ("Great, I failed.", "neutral"),
        ("I passed the exam. I am so proud, whatever went wrong.", "positive"),
        ("我很难过", "neutral"),
    ],
)
def test_the_lexicon_reads_the_words(text, sentiment):
    assert text_sentiment(text) == sentiment


def test_a_negation_does_not_reach_into_the_next_sentence():
    assert text_sentiment("I do not know. Happy days.") == "positive"


def test_no_sentence_of_lime_mini_has_a_sentiment():
    assert {text_sentiment(text) for texts in SENTENCES.values() for text in texts} == {"neutral"}


@pytest.mark.parametrize(
    ("text", "emotion", "expected"),
    [
        ("What a wonderful day!", "sad", "conflict"),
        ("What a wonderful day!", "anger", "conflict"),
        ("What a wonderful day!", "happy", "consistent"),
        ("I lost everything.", "happy", "conflict"),
        ("I lost everything.", "fear", "consistent"),
        ("I lost everything.", "surprise", "neither"),
        ("I lost everything.", "neutral", "neither"),
        ("The report is on the desk.", "disgust", "neither"),
    ],
)
def test_a_clip_conflicts_when_words_and_voice_have_opposite_sentiments(text, emotion, expected):
    assert part(spoken(text, emotion)) == expected


def test_the_manifest_has_the_last_word():
    text = "What a wonderful day!"
    assert part(spoken(text, "happy", text_sentiment="negative")) == "conflict"
    assert part(spoken(text, "sad", text_sentiment="neutral")) == "neither"
    assert {part(spoken("…", "happy", text_sentiment=s)) for s in SENTIMENTS} == {"conflict", "consistent", "neither"}


def test_the_manifest_field_is_read_written_and_checked(tmp_path):
    path = tmp_path / "test.jsonl"
    write_manifest(path, [spoken("Fine.", emotion, text_sentiment="negative") for emotion in EMOTIONS[:1]])
    assert read_manifest(path)[0].text_sentiment == "negative"
    path.write_text(path.read_text().replace('"negative"', '"bad"'))
    with pytest.raises(ValueError, match=r"unknown text_sentiment 'bad'; allowed: positive, negative"):
        read_manifest(path)


def test_what_the_words_alone_reach_is_a_vote_of_the_voices_of_each_sentence():
    good, bad = "What a wonderful day!", "I lost everything."
    voices = [(good, "happy"), (good, "sad"), (good, "sad"), (bad, "fear"), (bad, "happy")]
    ignored = [(bad, "neutral")] * 9 + [("The report is on the desk.", "sad")] * 9
    assert best_by_words([spoken(*voice) for voice in (*voices, *ignored)]) == (2 + 1) / 5
    assert isnan(best_by_words([spoken(*voice) for voice in ignored]))


def test_a_manifest_without_conflict_is_refused_by_name(tmp_path):
    path = tmp_path / "some.jsonl"
    write_manifest(path, [spoken("What a wonderful day!", "happy")])
    with pytest.raises(ValueError, match=r"some\.jsonl: in none of its 1 clips .* such as data/lime-mini/conflict"):
        polar_examples(path)
    write_manifest(path, [spoken("What a wonderful day!", "sad")])
    assert [example.emotion for example in polar_examples(path)] == ["sad"]
