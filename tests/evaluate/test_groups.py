"""Same words, different voices: pairs, the semantic-dominance gap, and how far replies differ."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from handmade_evaluations import clips

from cogrl.evaluate.groups import cell, contrasts, distance, follow_and_stay, response_difference


def examples(*args, **kwargs):
    return [clip.example for clip in clips(*args, **kwargs)]


def test_pairs_share_words_and_speaker_and_differ_in_emotion():
    found = examples(speakers=2, sentences=3)
    found += [replace(e, id=e.id + "b") for e in found]  # a second take of every clip
    pairs = contrasts(found)
    assert len(pairs) == len(set(pairs)) == 2 * 3 * (7 * 6 // 2) * 4
    for i, j in pairs:
        a, b = found[i], found[j]
        assert (a.speaker, a.text_group) == (b.speaker, b.text_group) and a.emotion != b.emotion and i < j


def test_answers_about_one_file_are_one_cell_where_speaker_or_sentence_is_not_known():
    a, b = examples(speakers=1, sentences=1, emotions=("anger", "happy"))
    assert cell(a) == cell(b) == f"{a.speaker}/{a.text_group}"
    for unknown in ("speaker", "text_group"):
        first, other = (replace(e, **{unknown: ""}, audio=Path(f"{e.id}.wav")) for e in (a, b))
        assert cell(first) != cell(other) and cell(first) == cell(replace(first, id="another question"))


def test_one_emotion_a_cell_gives_no_pairs():
    assert contrasts(examples(emotions=("sad",))) == []


def test_the_gap_by_hand():
    """anger, happy and sad are heard as anger, anger and sad: one pair follows, one stays, one does neither."""
    found = examples(speakers=1, sentences=1, emotions=("anger", "happy", "sad"))
    pairs = contrasts(found)
    assert pairs == [(0, 1), (0, 2), (1, 2)]
    follow, stay = follow_and_stay(found, ["anger", "anger", "sad"], pairs)
    assert follow.tolist() == [0, 1, 0] and stay.tolist() == [1, 0, 0]


def test_swapped_labels_neither_follow_nor_stay():
    found = examples(speakers=1, sentences=1, emotions=("anger", "happy"))
    follow, stay = follow_and_stay(found, ["happy", "anger"], contrasts(found))
    assert follow.tolist() == stay.tolist() == [0]


def test_no_label_is_no_answer_that_stays():
    found = examples()
    follow, stay = follow_and_stay(found, [None] * len(found), contrasts(found))
    assert not follow.any() and not stay.any()


def test_no_pair_both_follows_and_stays():
    found, rng = examples(), np.random.default_rng(0)
    guesses = [e.emotion if rng.random() < 0.5 else "sad" for e in found]
    follow, stay = follow_and_stay(found, guesses, contrasts(found))
    assert follow.any() and stay.any() and not (follow * stay).any()


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("Let it out.", "let it out", 0.0),
        ("one two three", "three two one", 0.0),
        ("one two", "three four", 1.0),
        ("one two three four", "one two five six", 0.5),
        ("very very sad", "very sad", 1 - 4 / 5),
        ("", "", 0.0),
        ("", "anything", 1.0),
        ("我很难过", "我很高兴", 0.5),
    ],
)
def test_distance_of_replies(a, b, expected):
    assert distance(a, b) == pytest.approx(expected) == pytest.approx(distance(b, a))


def test_replies_that_ignore_the_voice_differ_no_more_between_emotions_than_between_draws():
    found, rng = examples(speakers=6, sentences=6), np.random.default_rng(0)
    said = ["That is good.", "I am sorry to hear it.", "Tell me more about it."]
    samples = [[said[rng.integers(3)], said[rng.integers(3)]] for _ in found]
    between, within = response_difference(found, samples, contrasts(found))
    assert np.mean(list(between.values())) == pytest.approx(np.mean(list(within.values())), abs=0.06)


def test_replies_that_follow_the_voice_differ_between_emotions_alone():
    found = examples()
    samples = [[f"I hear {e.emotion}.", f"{e.emotion} I hear"] for e in found]
    between, within = response_difference(found, samples, contrasts(found))
    assert set(within.values()) == {0.0} and list(between.values()) == pytest.approx([1 / 3] * 12)
    assert between.keys() == within.keys() == {f"s{s}/t{t}" for s in range(3) for t in range(4)}


def test_one_draw_measures_no_spread():
    found = examples()
    with pytest.raises(ValueError, match="two or more"):
        response_difference(found, [["a"]] * len(found), contrasts(found))
