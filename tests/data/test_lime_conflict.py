"""Polar words in every voice: their speakers, their texts, and that words alone do not predict the emotion."""

import json
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import yaml

from cogrl.data.audio_check import check_audio_files
from cogrl.data.manifest import read_manifest
from cogrl.data.recipes.lime_conflict import PAIRS, SENTIMENT, conflict_cells
from cogrl.data.recipes.lime_mini import MAX_S, check_disjoint
from cogrl.data.recipes.lime_plan import MINI, SMOKE, cells, sentences
from cogrl.evaluate.polarity import VOICE, best_by_words, part, text_sentiment
from cogrl.types import EMOTIONS, Example

SPLITS = ("sft", "rl", "val", "test", "conflict")
CONFIGS = Path(__file__).parents[2] / "configs"


def examples(plan=MINI) -> list[Example]:
    """What the clips of a plan will be, as far as this matters here."""
    return [
        Example(c.digest(0)[:16], Path("x"), c.split, c.text, c.text_group, c.speaker.name, c.emotion, c.intensity)
        for c in conflict_cells(plan)
    ]


@pytest.fixture
def splits(smoke_corpus):
    return {split: read_manifest(smoke_corpus / f"{split}.jsonl") for split in SPLITS}


def test_the_lexicon_agrees_with_what_the_sentences_are_meant_to_be():
    assert {text: text_sentiment(text) for text in SENTIMENT} == SENTIMENT
    assert Counter(SENTIMENT.values()) == {"positive": 4, "negative": 4}


def test_one_word_makes_a_sentence_cheerful_or_bleak():
    for positive, negative in PAIRS.values():
        assert (SENTIMENT[positive], SENTIMENT[negative]) == ("positive", "negative")
        pairs = list(zip(positive.split(), negative.split(), strict=True))
        assert sum(a != b for a, b in pairs) == 1


def test_no_other_split_has_these_sentences_clips_or_names():
    for plan in (SMOKE, MINI):
        own, others = conflict_cells(plan), cells(plan)
        for name in ("text", "text_group"):
            assert not {getattr(c, name) for c in own} & {getattr(c, name) for c in others}
        assert len({c.digest(0)[:16] for c in (*own, *others)}) == len(own) + len(others)
    assert not SENTIMENT.keys() & {text for _, _, text in sentences()}


def test_the_speakers_of_the_test_split_read_them_and_nobody_else():
    for plan in (SMOKE, MINI):
        assert {c.speaker for c in conflict_cells(plan)} == {c.speaker for c in cells(plan) if c.split == "test"}


def test_the_corpus_grows_by_less_than_a_tenth():
    assert len(conflict_cells(MINI)) == 8 * 4 * 7 and len(conflict_cells(MINI)) < 0.1 * len(cells(MINI))


def test_every_sentence_of_every_speaker_conflicts_with_some_voices_and_agrees_with_others():
    found: dict[tuple, list[Example]] = defaultdict(list)
    for example in examples():
        found[example.speaker, example.text].append(example)
    assert len(found) == 4 * 8
    for clips in found.values():
        assert sorted(e.emotion for e in clips) == sorted(EMOTIONS)
        assert {part(e) for e in clips} == {"conflict", "consistent", "neither"}
    assert Counter(map(part, examples())) == {"conflict": 80, "consistent": 80, "neither": 64}


def test_intensity_tells_neither_emotion_nor_sentiment():
    found: dict[tuple, set] = defaultdict(set)
    for c in conflict_cells(MINI):
        found[c.speaker.name, c.scenario].add(c.intensity)
    assert all(len(levels) == 1 for levels in found.values())
    assert len({c.intensity for c in conflict_cells(MINI)}) == 3


def test_whoever_reads_the_words_alone_does_not_profit():
    """Every rule from sentiment to emotion: chance over all clips, and a fifth at most where words and voice count."""
    clips = examples()
    polar = [e for e in clips if part(e) != "neither"]
    for positive, negative in product(EMOTIONS, repeat=2):
        said = {"positive": positive, "negative": negative}
        right = lambda rows, said=said: sum(said[SENTIMENT[e.text]] == e.emotion for e in rows) / len(rows)
        assert right(clips) == pytest.approx(1 / 7)
        assert right(polar) == pytest.approx(sum(emotion in VOICE for emotion in said.values()) / 10)
    assert best_by_words(clips) == 0.2
    naive = {"positive": "happy", "negative": "sad"}
    assert not any(naive[SENTIMENT[e.text]] == e.emotion for e in clips if part(e) == "conflict")


def test_a_built_corpus_has_them_with_their_sentiment_and_no_other_split_names_one(splits, smoke_corpus):
    conflict = splits["conflict"]
    assert {(e.text, e.text_sentiment) for e in conflict} <= set(SENTIMENT.items()) and len(conflict) == 14
    assert {e.split for e in conflict} == {"conflict"} and Counter(map(part, conflict))["conflict"] == 5
    assert {e.speaker for e in conflict} == {e.speaker for e in splits["test"]}
    check_audio_files(conflict, 16000, MAX_S)
    for split in SPLITS[:-1]:
        lines = (smoke_corpus / f"{split}.jsonl").read_text().splitlines()
        assert not any("text_sentiment" in json.loads(line) for line in lines)


def test_a_build_that_leaks_is_refused(splits):
    check_disjoint(splits)
    first = splits["conflict"][0]
    for owner, field in [("sft", "speaker"), ("rl", "speaker"), ("val", "speaker"), ("test", "text_group")]:
        taken = replace(first, **{field: getattr(splits[owner][0], field)})
        with pytest.raises(ValueError, match=f"{field} .* is also in split"):
            check_disjoint(splits | {"conflict": [taken, *splits["conflict"][1:]]})


@pytest.mark.parametrize("name", ["demo", "cogaudio_mini"])
def test_the_pipelines_report_test_and_conflict_apart(name):
    steps = yaml.safe_load((CONFIGS / "pipelines" / f"{name}.yaml").read_text())["steps"]
    (command,) = [step["command"] for step in steps if step["name"] == "report"]
    named = {command[i]: command[i + 1] for i in range(len(command)) if command[i] in ("--data", "--conflict")}
    assert named == {"--data": "${vars.corpus}/test.jsonl", "--conflict": "${vars.corpus}/conflict.jsonl"}
