"""What is read out of a field, hostile texts included."""

import pytest
from traces import EXAMPLE, answered

from cogrl.formats.answer import read_answer
from cogrl.rewards.perception.claims import (
    claims_of,
    description_claims,
    label_claims,
    speaker_claims,
    turns_in,
    word_claims,
)


def said(claims):
    return [f"{claim.kind} {claim}" for claim in claims]


def test_a_whole_trace_is_read_section_by_section():
    claims = claims_of(answered())
    assert said(claims) == [
        "label rain",
        "count 2",
        "name low",
        "name high",
        "word low: kettle",
        "word low: river",
        "word high: window",
        "word high: apple",
        "rank low is first",
        "choice kettle river",
    ]
    assert [claim.section for claim in claims] == [
        "environment",
        *["speaker"] * 3,
        *["asr"] * 4,
        "description",
        "answer",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "I cannot hear the clip",
        "",
        answered().text + answered().text,
        answered().text.replace("<ENV>rain</ENV>", "<ENV><ENV>rain</ENV></ENV>"),
        answered().text.replace("<ENV>rain</ENV>", ""),
        answered().text.replace("</THINK>", ""),
        "<THINK></THINK><RESPONSE>kettle river</RESPONSE><FINAL_ANSWER>kettle river</FINAL_ANSWER>",
    ],
)
def test_an_answer_that_is_not_well_formed_claims_nothing(text):
    assert claims_of(answered(text)) == ()


def test_another_format_has_no_sections():
    assert claims_of(read_answer("kettle river", "choice", EXAMPLE)) == ()


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("rain", ["rain"]),
        ("Rain, faint", ["rain"]),
        ("rain, loud.", ["rain"]),
        ("The sound of rain in the background", ["rain"]),
        ("rain and a hum", ["rain", "hum"]),
        ("rain, rain", ["rain", "rain"]),
        ("rain / hum; crowd", ["rain", "hum", "crowd"]),
        ("none", ["none"]),
        ("silence", ["none"]),
        ("no background", ["none"]),
        ("no rain", ["no rain"]),
        ("rain hum crowd", ["rain hum crowd"]),
        ("I cannot hear", ["i cannot hear"]),
        ("maybe rain", ["maybe rain"]),
        ("grain", ["grain"]),
        ("...", []),
    ],
)
def test_an_environment_is_its_labels(text, labels):
    assert [claim.value for claim in label_claims(text)] == labels


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("2: low, high", ["count 2", "name low", "name high"]),
        ("two speakers: the low voice and the high voice", ["count 2", "name low", "name high"]),
        ("2", ["count 2"]),
        ("02: low, low", ["count 2", "name low", "name low"]),
        ("2: Speaker 1, Speaker 2", ["count 2", "name speaker 1", "name speaker 2"]),
        ("low, high", ["name low", "name high"]),
        ("2 or 3", ["count 2 or 3?"]),
        ("2, low, high", ["count 2", "name low", "name high"]),
        ("2, 3", ["count 2", "name 3"]),
        ("2 or 3: low, high", ["count 2 or 3?", "name low", "name high"]),
        ("about two: low", ["count about two?", "name low"]),
        ("many: low", ["count many?", "name low"]),
        ("²: low", ["count 2", "name low"]),
        ("9" * 5000, ["count " + "9" * 5000 + "?"]),
        (":", ["count ?"]),
    ],
)
def test_speakers_are_a_count_and_names(text, claims):
    assert said(speaker_claims(text)) == claims


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("low: kettle river; high: window apple", [("low", " kettle river"), ("high", " window apple")]),
        ("Speaker 1: hello there. Speaker 2: hi", [("speaker 1", " hello there. "), ("speaker 2", " hi")]),
        ("low: it was late; I left", [("low", " it was late"), ("low", " I left")]),
        ("kettle river", [("", "kettle river")]),
        ("low: at 10:30", [("low", " at 10:30")]),
        ("The low voice: yes\nhigh:", [("low", " yes"), ("high", "")]),
        (";;", []),
    ],
)
def test_a_transcript_is_turns(text, turns):
    assert turns_in(text) == turns


def test_quotes_case_and_punctuation_are_no_part_of_a_word():
    assert said(word_claims(turns_in('LOW: "Kettle, river!"'))) == ["word low: kettle", "word low: river"]
    assert word_claims(turns_in("low: ...")) == []


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("low is first", ["rank low is first"]),
        ("The low voice speaks first, high is the last one.", ["rank low is first", "rank high is last"]),
        ("low is loudest", ["rank low is loudest"]),
        ("the mood is tense. low is first", ["text the mood is tense", "rank low is first"]),
        ("low is not first", ["text low is not first"]),
        ("first", ["text first"]),
    ],
)
def test_a_description_says_who_is_first_or_is_free_text(text, claims):
    assert said(description_claims(text)) == claims
