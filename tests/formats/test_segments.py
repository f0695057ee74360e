"""Cited segments are read one way everywhere, and refused for reasons that have names. (E8)"""

import pytest

from cogrl.formats.segments import SegmentRules, overlap
from cogrl.types import Span

RULES = SegmentRules()


def reasons(text, duration_s=10.0, rules=RULES):
    return [one.invalid for one in rules.citations(text, duration_s)]


def test_a_citation_is_where_its_tag_is():
    text = "listen <seg>1.5, 2.25</seg> and <seg>3,4</seg>"
    first, second = RULES.citations(text, 10.0)
    assert first.span == Span(1.5, 2.25) and second.span == Span(3.0, 4.0)
    assert [text[one.start : one.end] for one in (first, second)] == ["<seg>1.5, 2.25</seg>", "<seg>3,4</seg>"]
    assert first.invalid is None and second.invalid is None


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("<seg>1..2, 3</seg>", "malformed"),
        ("<seg>1, 2, 3</seg>", "malformed"),
        ("<seg>1e0, 2</seg>", "malformed"),
        ("<seg>-1, 2</seg>", "malformed"),
        ("<seg>nan, inf</seg>", "malformed"),
        ("<seg>the knock</seg>", "malformed"),
        ("<seg>１, ２</seg>", "malformed"),
        ("1, 2</seg>", "malformed"),
        ("<seg>1, 2 <seg>3, 4 </seg>", None),  # the tag it closes is the last that was opened
        ("<seg>2, 1</seg>", "reversed"),
        ("<seg>2, 2</seg>", "reversed"),
        ("<seg>9, 10.02</seg>", "outside"),
        ("<seg>9, 10.01</seg>", None),  # rounded
        ("<seg>1, 1.19</seg>", "too_short"),
        ("<seg>0.1, 0.3</seg>", None),
        ("<seg>0, 10</seg>", None),
        ("<answer>a <seg>1, 2</seg>", "answered"),
    ],
)
def test_a_segment_is_heard_as_cited_or_refused(tag, reason):
    assert reasons(f"so {tag} it is") == [reason]


def test_longer_than_allowed():
    assert reasons("<seg>0, 10.5</seg>", 60.0) == ["too_long"]


def test_the_same_segment_is_heard_once():
    text = "<seg>1, 2</seg>" * 20 + "<seg>1.0, 2.2</seg><seg>1.5, 2.5</seg>"
    assert reasons(text) == [None, *["duplicate"] * 20, None]
    assert overlap(Span(1.0, 2.0), Span(1.0, 2.2)) == pytest.approx(1 / 1.2)
    assert overlap(Span(0.0, 1.0), Span(1.0, 2.0)) == 0.0


def test_so_many_and_so_many_seconds():
    text = "".join(f"<seg>{i}, {i + 1}</seg>" for i in range(9))
    assert reasons(text, rules=SegmentRules(most=3)) == [None] * 3 + ["too_many"] * 6
    assert reasons(text, rules=SegmentRules(most=9, total_s=4.0)) == [None] * 4 + ["too_much"] * 5


def test_a_refused_segment_takes_no_room_and_is_no_original_of_a_duplicate():
    assert reasons("<seg>9, 11</seg><seg>9, 11</seg><seg>9, 10</seg>", rules=SegmentRules(most=1)) == [
        "outside",
        "outside",
        None,
    ]


def test_what_is_decided_does_not_depend_on_what_follows():
    text = "a <seg>1, 2</seg> b <seg>1, 2</seg> c <seg>3, 1</seg></think><answer>d <seg>5, 6</seg></answer>"
    whole = RULES.citations(text, 10.0)
    for number, one in enumerate(whole):
        assert RULES.citations(text[: one.end], 10.0) == whole[: number + 1]


@pytest.mark.parametrize(
    "settings", [{"min_s": 0.0}, {"max_s": 0.1}, {"duplicate_iou": 0.0}, {"most": 0}, {"total_s": 0.1}]
)
def test_rules_that_no_segment_satisfies_are_refused(settings):
    with pytest.raises(ValueError, match="segments: "):
        SegmentRules(**settings)
