"""The three axes against evidence, and the paper's own formula beside them, on the same answers."""

from dataclasses import replace

import pytest
from traces import EXAMPLE, answered

from cogrl.formats.answer import read_answer
from cogrl.rewards.perception.axes import background_robustness, reasoning_agreement, speaker_fidelity
from cogrl.rewards.perception.quotes import quotes_in, similarity
from cogrl.rewards.perception.self_consistency import SelfConsistency

MUSIC = replace(
    EXAMPLE,
    question="What is the mood of the music?",
    choices=("sad", "happy"),
    answer="sad",
    environment="music",
)


def published(axis, answer, variant="paper"):
    return SelfConsistency(axis, variant).values([answer])[0]


@pytest.mark.parametrize(
    ("reasoning", "worth"),
    [
        ("low says kettle river", 1.0),
        ("in the rain low says kettle river", 1.0),
        ("because of the rain, low says kettle river", 0.0),
        ("low says kettle river because it rains and rain means a river", 0.0),
        ("there is rain, so the words are kettle river", 0.0),
        ("the noise suggests that somebody said kettle", 0.0),
        ("rain in the background, therefore kettle river", 0.0),
        ("not because of the rain, low says kettle river", 1.0),
        ("because of the rain, a roof must be near", 1.0),
        ("since low says kettle river in the rain, it is kettle river", 1.0),
        ("because low says kettle river, the answer is kettle river", 1.0),
        ("the rain is so loud that it hides the high voice", 1.0),
        ("the words are kettle river; there is rain", 1.0),
        ("...", 0.0),
    ],
)
def test_the_environment_is_no_reason_for_words(reasoning, worth):
    assert background_robustness(answered(reasoning=reasoning)) == worth


@pytest.mark.parametrize("field", ["description", "summary", "reflect"])
def test_every_field_that_argues_is_read(field):
    assert background_robustness(answered(**{field: "because of the rain, low says kettle river"})) == 0.0


def test_d18_empty_reasoning_is_not_robust_and_a_question_about_music_is_free_to_argue_from_it():
    assert background_robustness(answered(answered().text.replace("low says kettle river", ""))) == 0.0
    minor = "the music is in a minor key, therefore sad"
    answer = answered(example=MUSIC, reasoning=minor, environment="music", summary="sad", final_answer="sad")
    assert background_robustness(answer) is None
    assert published("background", answer, "code") == 0.0, "as published"
    in_noise = replace(EXAMPLE, question="What was said in the noise?")
    assert background_robustness(answered(example=in_noise)) == 1.0


@pytest.mark.parametrize(
    ("text", "quotes"),
    [
        ("low says kettle river", [("low", "kettle river")]),
        ("The low voice said: “kettle river”, then left.", [("low", "kettle river")]),
        ('Speaker 1 says that it is late; "good night"', [("speaker 1", "it is late"), ("", "good night")]),
        ("in rain low says kettle river, not window apple", [("low", "kettle river")]),
        ('"..." is heard', []),
        ("nobody is quoted", []),
    ],
)
def test_quotations_have_a_speaker_or_none(text, quotes):
    assert quotes_in(text) == quotes


def test_similarity_is_one_minus_edits_over_the_longer_text():
    assert similarity("Kettle!", "kettle") == 1.0
    assert similarity("kitten", "sitting") == pytest.approx(1 - 3 / 7, abs=1e-12)
    assert similarity("abc", "") == 0.0 and similarity("", "") == 0.0


@pytest.mark.parametrize(
    ("reasoning", "worth"),
    [
        ("low says kettle river", 1.0),
        ("low says window apple", 1 - 11 / 12),
        ("high says window apple", 1.0),
        ("somebody speaks", 0.0),
        ('"window apple" is heard', 1.0),
        ("low says kettle river, high says window apple", 1.0),
        ("middle says kettle river", 0.0),
    ],
)
def test_quotations_are_held_against_the_turns_of_their_speaker(reasoning, worth):
    assert speaker_fidelity(answered(reasoning=reasoning)) == pytest.approx(worth, abs=1e-12)


def test_d19_copying_the_transcript_into_both_fields_gains_nothing():
    invented = answered(asr="low: garden apple; high: garden apple", speaker='2: "garden apple", "garden apple"')
    copied = answered(asr="low: garden apple", reasoning="low says garden apple")
    assert published("speaker", copied) == 1.0 and published("speaker", invented, "code") > 0.7, "as published"
    assert speaker_fidelity(copied) == pytest.approx(similarity("garden apple", "kettle river"))
    assert speaker_fidelity(copied) < 0.4


@pytest.mark.parametrize(
    ("changed", "worth"),
    [
        ({}, 1.0),
        ({"summary": "window apple"}, 0.0),
        ({"final_answer": "window apple"}, 0.0),
        ({"summary": "Therefore the answer is B."}, 1.0),
        ({"summary": "The low voice is clear. So, kettle river."}, 1.0),
        ({"summary": "kettle river; window apple"}, 0.0),
        ({"summary": "a bird in the family", "reasoning": "low is heard. B"}, 1.0),
        ({"summary": "a bird in the family", "reasoning": "low is heard"}, 0.0),
        ({"final_answer": "A B C D"}, 0.0),
    ],
)
def test_the_thought_has_to_conclude_what_is_answered(changed, worth):
    assert reasoning_agreement(answered(**changed)) == worth


def test_an_open_answer_is_compared_by_its_words():
    open_question = replace(EXAMPLE, choices=())
    assert reasoning_agreement(answered(example=open_question, final_answer="Kettle river.")) == 1.0
    assert reasoning_agreement(answered(example=open_question, final_answer="river kettle")) == 0.0


def test_axes_do_not_apply_in_other_formats_or_without_turns_and_not_well_formed_is_worth_nothing():
    plain, broken = read_answer("kettle river", "choice", EXAMPLE), answered("kettle river")
    for axis in (background_robustness, speaker_fidelity, reasoning_agreement):
        assert axis(plain) is None and axis(broken) == 0.0
    assert published(None, plain) is None and published(None, broken) == 0.0
    assert speaker_fidelity(answered(example=replace(EXAMPLE, speech=()))) is None


def test_the_papers_formula_is_the_mean_of_three_axes_on_the_answers_own_words():
    invented = answered(environment="hum", asr="low: garden apple", reasoning="low says garden apple")
    assert published(None, invented) == 1.0, "nothing of it was heard"
    apart = answered(reasoning="because of the rain, low says kettle apple", summary="window apple")
    speaker = similarity("kettle apple", "kettle river")
    assert published(None, apart) == pytest.approx((0 + speaker + 0) / 3, abs=1e-12)


@pytest.mark.parametrize(
    ("axis", "text", "worth"),
    [
        ("background", "<THINK>x</THINK>", 1.0),
        ("background", "no thought", 0.0),
        ("background", "<THINK><REASONING>the music; therefore</REASONING></THINK>", 0.0),
        ("background", "<THINK><REASONING>rain, therefore</REASONING></THINK>", 1.0),
        ("speaker", "<SPEAKER>low: kettle river</SPEAKER><ASR>kettle river</ASR>", 1.0),
        ("speaker", "<SPEAKER>'kettle river' and 'xyz'</SPEAKER><ASR>kettle river</ASR>", 1.0),
        ("speaker", "<SPEAKER>low: kettle</SPEAKER>", 0.0),
        ("speaker", "<SPEAKER>...</SPEAKER><ASR>kettle</ASR>", 0.5),
        ("answer", "<THINK>(a) or (b)</THINK><RESPONSE>B</RESPONSE>", 1.0),
        ("answer", "<THINK>the answer is c</THINK><FINAL_ANSWER>C</FINAL_ANSWER>", 1.0),
        ("answer", "<THINK>(b)</THINK><RESPONSE>B. bird family</RESPONSE>", 0.0),
        ("answer", "<THINK>zzz</THINK><RESPONSE>B</RESPONSE>", 0.0),
    ],
)
def test_the_codes_formula_is_kept_with_all_that_it_lets_pass(axis, text, worth):
    assert published(axis, answered(text), "code") == pytest.approx(worth)
