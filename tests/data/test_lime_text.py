import itertools
import random
import re

import pytest

from cogrl.data.recipes.lime_lexicon import INTENT, PSYCHOLOGY, STRATEGY, TOPICS, VOICE
from cogrl.data.recipes.lime_replies import ACTION, NEED, OPENING
from cogrl.data.recipes.lime_text import targets
from cogrl.formats.direct import DIRECT
from cogrl.formats.eips import EIPS, perceived_emotion
from cogrl.types import EMOTIONS, INTENSITIES

TEXT = "The meeting has been moved to room twelve."


def everything(n=600, text=TEXT, seed=0):
    rng = random.Random(seed)
    cells = itertools.cycle(itertools.product(EMOTIONS, INTENSITIES, TOPICS))
    return [(*cell, targets(*cell, text, rng)) for cell in itertools.islice(cells, n)]


def words(text):
    return re.findall(r"[\w'-]+", re.sub(r"</?\w+>|\[\w+\]", "", text))


def test_every_thought_parses_and_claims_the_gold_emotion():
    for emotion, intensity, _, made in everything():
        fields = EIPS.parse(made["eips"])
        assert fields is not None
        assert fields["perception"].startswith(f"{emotion}, {intensity}: ")
        assert perceived_emotion(made["eips"]) == emotion


def test_both_formats_give_the_same_reply_and_direct_has_no_markup():
    for *_, made in everything(200):
        assert EIPS.answer(made["eips"]) == DIRECT.answer(made["direct"]) == made["direct"]


def test_every_possible_reply_has_12_to_20_words():
    for emotion in EMOTIONS:
        for intensity in INTENSITIES:
            for clauses in itertools.product(OPENING[emotion][intensity], NEED[emotion], ACTION[emotion]):
                assert 12 <= len(" ".join(clauses).split()) <= 20, clauses


def test_a_whole_thought_stays_short():
    lengths = sorted(len(words(made["eips"])) for *_, made in everything())
    assert lengths[0] >= 35 and lengths[-1] <= 60


def test_no_clause_serves_two_emotions():
    for table in (NEED, ACTION, PSYCHOLOGY, STRATEGY, INTENT, VOICE):
        clauses = [clause for emotion in EMOTIONS for clause in table[emotion]]
        assert len(clauses) == len(set(clauses))
    openings = [clause for emotion in EMOTIONS for level in OPENING[emotion].values() for clause in level]
    assert len(openings) == len(set(openings))


def test_each_emotion_and_intensity_has_dozens_of_replies():
    for emotion in EMOTIONS:
        for intensity in INTENSITIES:
            assert len(OPENING[emotion][intensity]) * len(NEED[emotion]) * len(ACTION[emotion]) >= 64


def test_the_intent_names_the_scenario():
    for _, _, scenario, made in everything(200):
        assert TOPICS[scenario] in EIPS.parse(made["eips"])["intent"]


def test_clauses_that_repeat_a_word_of_the_sentence_are_avoided():
    text = "Let us celebrate the moment together with everyone."
    for emotion, _, _, made in everything(400, text):
        shared = set(re.findall(r"[a-z]{5,}", made["direct"].lower())) & set(re.findall(r"[a-z]{5,}", text.lower()))
        assert not shared, (emotion, made["direct"])


def test_the_same_seed_gives_the_same_targets():
    assert everything(50, seed=3) == everything(50, seed=3) != everything(50, seed=4)


def test_the_vocabulary_is_small():
    assert len({word.lower() for *_, made in everything(3000) for word in words(made["eips"])}) < 450


def test_an_unknown_scenario_is_refused_by_name():
    with pytest.raises(KeyError, match=r"casino.*workplace"):
        targets("anger", "low", "casino", TEXT, random.Random(0))
