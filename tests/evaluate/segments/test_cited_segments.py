"""Figures of cited segments that can be counted by hand."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cogrl.evaluate.choice.answers import ChoiceAnswers
from cogrl.evaluate.choice.sampled import SampledAnswer
from cogrl.evaluate.report import write
from cogrl.evaluate.segments.cited import citing, citing_answer
from cogrl.evaluate.segments.figures import REASONS, relistening_differences, segment_figures, values
from cogrl.evaluate.segments.table import segment_record
from cogrl.formats.segments import SegmentRules
from cogrl.types import Example, Span

SAY = Example(
    "a",
    Path("a.wav"),
    evidence=(Span(3.1, 3.9),),
    question="What does the low voice say?",
    answer="o o e a",
)
RIGHT = "<think>low <seg>3.0, 4.0</seg> o o e a</think><answer>o o e a</answer>"
WRONG = "<think>low <seg>7.0, 8.0</seg> a e</think><answer>a e</answer>"
SILENT = "<think>low</think><answer>o o e a</answer>"


def sampled(text, spans=(), **how):
    return SampledAnswer(text, 10.0, spans, **({"clips": len(spans)} | how))


def answers(*given, name="on", format="echo", rules=None, examples=None):
    """The answers that these texts and insertions are to the one question."""
    given = [one if isinstance(one, SampledAnswer) else sampled(one) for one in given]
    examples = examples or [replace(SAY, id=str(i), audio=Path(f"{i}.wav")) for i in range(len(given))]
    texts = [one.text for one in given]
    chosen = [text.partition("<answer>")[2].removesuffix("</answer>") or None for text in texts]
    rules = rules or SegmentRules()
    return ChoiceAnswers(name, examples, texts, chosen, format, sampled=given, rules=rules)


def of(text, spans=(), example=SAY, rules=None):
    return citing_answer(example, sampled(text, spans), rules or SegmentRules())


def test_a_segment_that_holds_the_evidence_hits_it():
    one = of(RIGHT)
    assert one.cited.spans == [Span(3.0, 4.0)] and one.cited.hit == 1.0
    assert one.cited.iou == pytest.approx(0.8) and one.cited.coverage == pytest.approx(0.1)
    assert [i for i, there in enumerate(one.cited.tenths, 1) if there] == [4]
    assert of(WRONG).cited.hit == 0.0 and of(WRONG).cited.iou == 0.0 and of(SILENT).cited.hit == 0.0


def test_what_was_inserted_is_measured_apart_from_what_was_cited():
    one = of(RIGHT, [Span(6.0, 7.0)])
    assert one.cited.hit == 1.0 and one.inserted.hit == 0.0 and one.inserted.seconds == 1.0
    assert of(RIGHT).inserted.seconds == 0.0 and of(RIGHT).inserted.hit == 0.0


def test_two_parts_of_the_evidence_have_both_to_be_hit():
    two = replace(SAY, evidence=(Span(3.1, 3.9), Span(7.2, 7.8)))
    assert of(RIGHT, example=two).cited.hit == 0.0
    both = of(RIGHT.replace(" o o", " <seg>7, 8</seg> o o"), example=two)
    assert both.cited.hit == 1.0 and both.cited.iou == pytest.approx(1.4 / 2)


def test_a_line_without_evidence_has_no_hit_and_no_iou():
    plain = of(RIGHT, example=replace(SAY, evidence=()))
    assert math.isnan(plain.cited.hit) and math.isnan(plain.cited.iou) and plain.cited.coverage == pytest.approx(0.1)
    record = segment_record(plain)
    assert record["hit"] is None and record["iou"] is None and json.loads(json.dumps(record)) == record


def test_invalid_tags_count_by_reason_and_as_no_segment():
    text = "<think><seg>1..2</seg> <seg>3, 4</seg> <seg>3, 4.1</seg> <seg>9, 12</seg></think><answer><seg>1, 2</seg>"
    one = of(text)
    assert one.cited.spans == [Span(3.0, 4.0)] and len(one.citations) == 5
    assert one.invalid == {"malformed": 1, "duplicate": 1, "outside": 1, "answered": 1}
    assert of(text, rules=SegmentRules(max_s=0.5)).invalid["too_long"] == 2


def test_the_overlap_is_of_pairs_and_needs_two():
    assert math.isnan(of(RIGHT).cited.overlap)
    one = of(RIGHT.replace(" o o", " <seg>3.5, 4.5</seg> <seg>8, 9</seg> o o"))
    assert one.cited.overlap == pytest.approx((1 / 3) / 3)


def test_figures_are_means_over_the_answers():
    given = [
        sampled(RIGHT, [Span(3.0, 4.0)], audio_tokens=25, inserted_tokens=27, ms=10.0),
        sampled(WRONG, [Span(7.0, 8.0)], audio_tokens=25, inserted_tokens=27, ms=30.0),
        sampled(SILENT, ms=20.0),
        sampled(RIGHT.replace("3.0, 4.0", "5"), ms=20.0),
    ]
    asked = answers(*given)
    m = {name.removeprefix("echo_segments_"): f for name, f in segment_figures(asked, citing(asked)).items()}
    means = {name: figure["mean"] for name, figure in m.items()}
    assert (means["tags"], means["cited"], means["inserted"], means["invalid"]) == (0.75, 0.5, 0.5, 0.25)
    assert means["invalid_malformed"] == 0.25 and {f"invalid_{reason}" for reason in REASONS} <= set(m)
    assert means["cited_hit"] == means["inserted_hit"] == 0.25 and m["cited_hit"]["n"] == 4
    assert means["cited_iou"] == pytest.approx(0.2) and means["cited_seconds"] == means["inserted_seconds"] == 0.5
    assert means["cited_coverage"] == pytest.approx(0.05) and means["tenth_4"] == means["tenth_8"] == 0.25
    assert means["tenth_3"] == means["tenth_5"] == 0.0 and m["cited_overlap"]["n"] == 0
    assert (means["at_least_1"], means["at_least_2"]) == (0.5, 0.0)
    assert (means["audio_tokens"], means["inserted_tokens"], means["ms"]) == (12.5, 13.5, 20.0)
    assert m["ms"]["low"] < 20.0 < m["ms"]["high"]
    assert means["accuracy_hit"] == 1.0 and m["accuracy_hit"]["n"] == 1
    assert means["accuracy_missed"] == pytest.approx(2 / 3) and m["accuracy_missed"]["n"] == 3
    assert all(len(column) == 4 for column in values(citing(asked)).values())


def test_accuracy_by_hit_is_of_the_questions_whose_answer_is_published():
    examples = [replace(SAY, id=str(i), audio=Path(f"{i}.wav")) for i in range(3)]
    asked = answers(RIGHT, RIGHT, WRONG, examples=[replace(examples[0], answer=None), *examples[1:]])
    m = segment_figures(asked, citing(asked))
    assert m["echo_segments_accuracy_hit"] == m["echo_segments_accuracy_hit"] | {"mean": 1.0, "n": 1}
    assert m["echo_segments_accuracy_missed"] == m["echo_segments_accuracy_missed"] | {"mean": 0.0, "n": 1}
    assert m["echo_segments_cited"]["n"] == 3


def test_the_controller_s_rules_are_those_of_the_report():
    strict = answers(RIGHT, rules=SegmentRules(max_s=0.5))
    assert citing(strict)[0].invalid == {"too_long": 1} and citing(answers(RIGHT))[0].invalid == {}


def test_only_answers_that_cite_have_figures():
    assert citing(answers(SILENT, format="choice")) == [] and len(citing(answers(SILENT))) == 1
    assert len(citing(answers(RIGHT, SILENT, format="think_choice"))) == 2
    assert len(citing(answers(sampled("b", clips=1), format="choice"))) == 1
    assert citing(ChoiceAnswers("p", [SAY], [RIGHT], ["o o e a"], "echo")) == []  # not known how it came about


def test_re_listening_is_held_against_every_other_policy():
    on = answers(sampled(RIGHT, [Span(3.0, 4.0)]), sampled(RIGHT, [Span(3.0, 4.0)]))
    off, other = answers(RIGHT, WRONG, name="off"), answers(WRONG, WRONG, name="filler")
    asked = [off, on, other]
    found = relistening_differences(asked, [citing(one) for one in asked])
    assert {pair: by["echo_accuracy"]["mean"] for pair, by in found.items()} == {"on - off": 0.5, "on - filler": 1.0}
    assert relistening_differences([off, other], [citing(off), citing(other)]) == {}


def test_a_report_has_the_tables_the_figures_and_a_record_an_answer(tmp_path):
    refused = RIGHT.replace("</think>", " <seg>1..2</seg></think>")
    on = answers(sampled(RIGHT, [Span(3.0, 4.0)], audio_tokens=25), refused, format="think_choice")
    off = answers(RIGHT, WRONG, name="off", format="think_choice")
    text = write([], tmp_path, [off, on])
    assert "cited: hit, %" in text and "| on | think_choice | 1.50 [" in text and "tenth 4, %" in text
    assert "malformed" in text and "too_long" not in text and " | 50.0 |" in text  # tenths have no interval
    assert "- re-listening: on minus off, think_choice: 50.0 [" in text
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["policies"]["off"]["think_choice_segments_cited_hit"]["mean"] == 0.5
    assert report["differences"]["on - off"]["think_choice_accuracy"]["mean"] == 0.5
    records = [json.loads(line) for line in (tmp_path / "answers_choice.jsonl").read_text().splitlines()]
    assert records[2]["segments"] == {
        "spans": [[3.0, 4.0]],
        "cited": [[3.0, 4.0]],
        "invalid": {},
        "evidence": [[3.1, 3.9]],
        "hit": 1.0,
        "iou": pytest.approx(0.8),
        "inserted_hit": 1.0,
        "inserted_iou": pytest.approx(0.8),
        "seconds": 1.0,
        "clips": 1,
        "audio_tokens": 25,
        "inserted_tokens": 0,
        "coverage": [i == 3 for i in range(10)],
        "ms": 0.0,
    }
    assert records[3]["segments"]["invalid"] == {"malformed": 1}


def test_a_report_without_cited_segments_is_as_it_was(tmp_path):
    text = write([], tmp_path, [answers("b", format="choice")])
    assert "cited" not in text and "segments" not in (tmp_path / "answers_choice.jsonl").read_text()
    assert not any("segments" in name for name in json.loads((tmp_path / "report.json").read_text())["policies"]["on"])


def test_a_clip_without_length_covers_nothing():
    assert citing_answer(SAY, SampledAnswer(RIGHT, 0.0), SegmentRules()).cited.coverage == 0.0
    assert np.isfinite(of(RIGHT).cited.coverage)
