"""What an answer says it hears: figures that can be counted by hand."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from paqa_trace import FIELDS

from cogrl.evaluate.choice.answers import ChoiceAnswers
from cogrl.evaluate.perception.figures import PARTS, environment_scores, part_figures, perception_figures, values
from cogrl.evaluate.perception.perceived import perceived
from cogrl.evaluate.perception.table import claims_table, perception_record
from cogrl.evaluate.report import write
from cogrl.formats.paqa import PAQA
from cogrl.types import Example, SpokenTurn

SAY = Example(
    "a",
    Path("a.wav"),
    speech=(SpokenTurn("low", 0.1, 0.9, "kettle river"), SpokenTurn("high", 1.0, 1.8, "window apple")),
    environment="rain",
    snr_db=4.0,
    question="What does the low voice say?",
    choices=("kettle river", "window apple", "river kettle", "apple window"),
    answer="kettle river",
    task="say",
)


def asked(*traces, examples=None):
    texts = [trace if isinstance(trace, str) else PAQA.render(FIELDS | trace) for trace in traces]
    examples = examples or [replace(SAY, id=str(i), audio=Path(f"{i}.wav")) for i in range(len(texts))]
    chosen = [PAQA.answer(text, e) or None for text, e in zip(texts, examples, strict=True)]
    return ChoiceAnswers("p", examples, texts, chosen, "paqa")


def of(trace, example=SAY):
    return perceived(asked(trace, examples=[example]))[0]


def test_a_right_trace_has_every_claim_and_no_error():
    one = of({})
    assert one.right_claims == one.attribution == 1.0 and one.word_error_rate == one.character_error_rate == 0.0
    assert one.checked.count("contradicted") == 0 and one.implied == "kettle river"


def test_words_of_the_wrong_speaker_are_heard_but_not_attributed():
    swapped = of({"asr": "high: kettle river; low: window apple"})
    assert swapped.word_error_rate == 0.0 and swapped.attribution == 0.0 and swapped.right("asr") == 0.0
    assert swapped.implied == "window apple"
    half = of({"asr": "low: kettle river; low: window apple"})
    assert half.attribution == 0.5 and half.implied is None


def test_error_rates_are_of_the_transcript_without_its_names():
    one = of({"asr": "low: kettle liver; high: window"})
    assert one.word_error_rate == pytest.approx(2 / 4)
    assert one.character_error_rate == pytest.approx(6 / len("kettleriverwindowapple"))


@pytest.mark.parametrize(
    ("task", "trace", "implied"),
    [
        ("count", {}, "2"),
        ("count", {"speaker": "two: low, high"}, "2"),
        ("first", {}, "low"),
        ("first", {"asr": "high: window apple; low: kettle river"}, "high"),
        ("environment", {}, "rain"),
        ("environment", {"environment": "none"}, None),
        ("another", {}, None),
    ],
)
def test_the_rule_of_a_task_reads_the_trace_and_not_its_answer(task, trace, implied):
    choices = {"count": ("1", "2", "3"), "first": ("low", "high"), "environment": ("rain", "hum")}.get(task, ("x", "y"))
    example = replace(SAY, task=task, choices=choices, answer=choices[0])
    assert of(trace, example).implied == implied


def test_the_rule_of_first_reads_words_where_the_choices_are_words():
    example = replace(SAY, task="first", question="What is said first?")
    assert of({}, example).implied == "kettle river"
    assert of({"asr": "high: window apple; low: kettle river"}, example).implied == "window apple"


def test_a_malformed_answer_claims_nothing_and_implies_nothing():
    one = of("<THINK>kettle river")
    assert one.right_claims == 0.0 and one.implied is None and one.word_error_rate == 1.0
    assert math.isnan(one.attribution)


def test_figures_are_means_over_the_answers_and_parts_are_told_apart():
    examples = [replace(SAY, id="a"), replace(SAY, id="b", audio=Path("b.wav"), snr_db=20.0, speech=SAY.speech[:1])]
    answers = asked({}, {"final_answer": "window apple", "environment": "hum"}, examples=examples)
    found = perceived(answers)
    figures = perception_figures(answers, found)
    assert figures["paqa_right_environment"]["mean"] == 0.5 and figures["paqa_implied"]["mean"] == 1.0
    assert figures["paqa_right_speaker"]["mean"] == pytest.approx(np.mean([1.0, 1 / 3]))
    parts = part_figures(answers)
    assert {name: parts[f"paqa_accuracy_{name}"]["mean"] for name in ("snr_0_5", "snr_15_20")} == {
        "snr_0_5": 1.0,
        "snr_15_20": 0.0,
    }
    assert parts["paqa_accuracy_one_voice"]["mean"] == 0.0 and "paqa_accuracy_snr_5_10" not in parts
    assert set(PARTS) > {"snr_5_10", "several_voices"}
    assert all(len(column) == 2 for column in values(found).values())


def test_environment_scores_are_means_over_the_labels_of_the_lines():
    examples = [replace(SAY, id=str(i), environment=label) for i, label in enumerate(("rain", "rain", "hum"))]
    found = perceived(asked({}, {"environment": "hum"}, {"environment": "hum"}, examples=examples))
    scores = environment_scores(found)
    assert scores["environment_f1"]["mean"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert scores["environment_map"]["mean"] == pytest.approx(((1 / 2 + 1 / 2 * 2 / 3) + 1 / 2) / 2)


def test_the_f1_of_a_single_label_is_that_of_the_label():
    scores = environment_scores(perceived(asked({}, {"environment": "hum"}, {"environment": "hum"})))
    assert scores["environment_f1"]["mean"] == pytest.approx(2 * 1 * (1 / 3) / (1 + 1 / 3))


def test_a_report_of_traces_has_their_tables_and_records(tmp_path):
    answers = asked({}, {"asr": "low: kettle"})
    text = write([], tmp_path, [answers])
    assert "rule on own trace, %" in text and "several voices" in text and "claims an answer" in text
    record = perception_record(perceived(answers)[1])
    assert record["claims"]["asr"] == {
        "supported": 1,
        "contradicted": 0,
        "unverifiable": 0,
        "expected": 4,
        "right": 0.25,
    }
    assert '"perception"' in (tmp_path / "answers_choice.jsonl").read_text()
    assert "paqa" not in claims_table([], {}) and "paqa" in text


def test_other_formats_have_no_claims(tmp_path):
    plain = ChoiceAnswers("p", [SAY], ["kettle river"], ["kettle river"], "choice")
    assert perceived(plain) == [] and "rule on own trace" not in write([], tmp_path, [plain])
