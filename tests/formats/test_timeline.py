"""Sets of segments on the time line: what they cover, and what they share."""

import random

import pytest

from cogrl.formats.timeline import covers, parts_touched, union_overlap, union_s
from cogrl.types import Span


def spans(*times):
    return [Span(float(start), float(end)) for start, end in times]


@pytest.mark.parametrize(
    ("some", "seconds"),
    [
        ([], 0.0),
        ([(1, 2)], 1.0),
        ([(3, 4), (1, 2)], 2.0),
        ([(1, 3), (2, 4)], 3.0),
        ([(1, 5), (2, 3)], 4.0),
        ([(1, 2), (2, 3)], 2.0),
        ([(1, 2), (1, 2)], 1.0),
    ],
)
def test_what_is_covered_twice_counts_once(some, seconds):
    assert union_s(spans(*some)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("some", "others", "value"),
    [
        ([(1, 2)], [(1, 2)], 1.0),
        ([(1, 2)], [(3, 4)], 0.0),
        ([(1, 3)], [(2, 4)], 1 / 3),
        ([(0, 1), (2, 3)], [(0, 3)], 2 / 3),
        ([(0, 1), (0, 1)], [(0, 1)], 1.0),
        ([], [(1, 2)], 0.0),
        ([], [], 0.0),
    ],
)
def test_intersection_over_union_is_of_all_that_each_set_covers(some, others, value):
    assert union_overlap(spans(*some), spans(*others)) == pytest.approx(value)
    assert union_overlap(spans(*others), spans(*some)) == pytest.approx(value)


def test_the_overlap_agrees_with_counting_hundredths():
    rng = random.Random(0)
    for _ in range(100):
        sets = [[sorted(rng.sample(range(100), 2)) for _ in range(rng.randrange(4))] for _ in range(2)]
        one, other = ({place for start, end in some for place in range(start, end)} for some in sets)
        found = union_overlap(*(spans(*((start / 100, end / 100) for start, end in some)) for some in sets))
        assert found == pytest.approx(len(one & other) / len(one | other) if one | other else 0.0)


def test_evidence_is_covered_where_each_part_lies_within_one_segment():
    evidence = spans((1.2, 1.8), (4.1, 4.6))
    assert covers(spans((1, 2), (4, 5)), evidence) and covers(spans((1, 5)), evidence)
    assert not covers(spans((1, 2)), evidence) and not covers([], evidence)
    assert not covers(spans((1, 1.5), (1.5, 2), (4, 5)), evidence)  # cut in two
    assert covers(spans((1.21, 1.79)), spans((1.2, 1.8))) and not covers(spans((1.22, 1.8)), spans((1.2, 1.8)))
    assert not covers(spans((1.2, 1.78)), spans((1.2, 1.8)))


def test_a_segment_lies_in_the_tenths_that_it_shares_time_with():
    touched = lambda *times: [i for i, there in enumerate(parts_touched(spans(*times), 20.0), 1) if there]
    assert touched((2, 4)) == [2] and touched((3.9, 6.1)) == [2, 3, 4] and touched() == []
    assert touched((0, 20)) == list(range(1, 11)) and touched((0, 1), (19, 20)) == [1, 10]
