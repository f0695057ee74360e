"""Echo's reward, term by term against the paper's table."""

from dataclasses import replace
from pathlib import Path

import pytest
from echo_answers import QUESTION, RIGHT, answer

from cogrl.formats.answer import read_answer
from cogrl.rewards import Accuracy
from cogrl.rewards.echo.cited import CountedSegments
from cogrl.rewards.echo.consistency import segment_consistency
from cogrl.rewards.echo.evidence import SegmentOverlap, SegmentPrice
from cogrl.rewards.echo.right_segments import RightSegments
from cogrl.rewards.perception.counterfactual import Counterfactual
from cogrl.types import Example, Span

CITED = CountedSegments("cited")


@pytest.mark.parametrize(
    ("thought", "value"),
    [
        ("a <seg>1, 2</seg> barks", 0.0),
        ("a <seg>1, 2</seg> The dog", -0.1),
        ("a <seg>1, 2</seg>The dog", -0.1),
        ("a <seg>1, 2</seg>\n <seg>3, 4</seg> b", -0.1),
        ("a <seg>1, 2</seg>", 0.0),  # the end of the thought is no new beginning
        ("a <seg>1, 2</seg> " + "É <seg>2, 3</seg> " * 8, -0.5),
        ("nothing", 0.0),
    ],
)
def test_e9_what_begins_anew_behind_a_segment_costs_a_tenth_down_to_a_half(thought, value):
    text = f"<think>{thought}</think><answer>a dog</answer>"
    assert segment_consistency(answer(text)) == pytest.approx(value)
    assert segment_consistency(answer("</seg><answer>")) == -0.1


@pytest.mark.parametrize(
    ("said", "right"), [("a dog", 1.0), ("A Dog.", 1.0), ("D", 1.0), ("(d) a dog", 1.0), ("a woman", 0.0), ("man", 0.0)]
)
def test_e10_e13_answers_are_normalised_letters_count_and_nothing_is_guessed(said, right):
    one = answer(f"<think>so <seg>6, 7</seg> it is</think><answer>{said}</answer>")
    assert Accuracy().values([one]) == [right] == RightSegments().values([one])


def test_r_seg_is_for_right_answers_that_listened():
    right, unheard = answer(RIGHT), answer(RIGHT, inserted=False)
    wrong = answer(RIGHT.replace("a dog", "a cat"))
    assert RightSegments().values([right, unheard, wrong]) == [1.0, 0.0, 0.0]
    assert RightSegments(CITED).values([right, unheard, wrong]) == [1.0, 1.0, 0.0]
    without = Example(id="q", audio=Path("q.wav"), question="?", answer="a")
    assert "no duration_s" in RightSegments(CITED).validate(without) and RightSegments().validate(without) is None


def test_credit_for_segments_is_for_answers_that_are_not_given_without_them():
    credit = RightSegments(accuracy=Counterfactual(changes=("without_controllers",)))
    wrong = answer(RIGHT.replace("a dog", "a cat"))
    given = [answer(RIGHT), answer(RIGHT, inserted=False), wrong]
    off = lambda said: [replace(one, counterfactuals={"without_controllers": said}) for one in given]
    assert credit.values(off("a cat")) == [1.0, 0.0, 0.0], "and the wrong one earns nothing by being another"
    assert credit.values(off("a dog")) == [0.0, 0.0, 0.0]
    assert credit.values(given) == [None] * 3


@pytest.mark.parametrize("tag", ["9, 11", "7, 6", "6, 6", "1..2", "6, 6.1", "-1, 2"])
def test_e8_a_segment_that_can_not_be_heard_earns_nothing(tag):
    one = answer(RIGHT.replace("6, 7", tag))
    assert RightSegments().values([one]) == [0.0] == RightSegments(CITED).values([one])


def test_e8_what_is_inserted_counts_if_it_was_cited_and_before_the_answer():
    def counted(text, *parts):
        one = read_answer(text, "echo", QUESTION, spans=parts)
        return [term.values([one])[0] for term in (RightSegments(), SegmentOverlap(), SegmentPrice(lowest=-9.0))]

    assert counted(RIGHT, Span(6.0, 7.0)) == [1.0, 1.0, -1.0]
    assert counted(RIGHT, Span(6.0, 7.1)) == pytest.approx([1.0, 1 / 1.1, -1.1]), "the same segment, by the rules"
    assert counted(RIGHT, Span(2.0, 3.0)) == [0.0, 0.0, 0.0], "a control has inserted another part"
    assert counted(RIGHT.replace("<seg>6, 7</seg>", "now"), Span(6.0, 7.0)) == [0.0, 0.0, 0.0], "nothing is cited"
    behind = RIGHT.replace("<seg>6, 7</seg>", "now") + "<seg>6, 7</seg>"
    assert counted(behind, Span(6.0, 7.0)) == [0.0, 0.0, 0.0]


def test_overlap_and_price_are_of_what_the_segments_cover():
    twice = answer(RIGHT.replace("6, 7</seg>", "6, 7</seg> and <seg>6.5, 8</seg>"))
    assert SegmentOverlap().values([twice, answer(RIGHT), answer("no")]) == pytest.approx([0.5, 1.0, 0.0])
    assert SegmentPrice(0.5, -3.0).values([twice, answer(RIGHT), answer("no")]) == pytest.approx([-1.5, -0.5, 0.0])
    assert SegmentPrice(lowest=-1.0).values([twice]) == [-1.0]
    without = Example(id="q", audio=Path("q.wav"), question="?", answer="a", duration_s=3.0)
    assert "no evidence" in SegmentOverlap().validate(without)
    with pytest.raises(ValueError, match="must be below 0"):
        SegmentPrice(lowest=0.0)
