"""A part of a list, evenly over it and never longer than was asked for."""

import pytest

from cogrl.cli.spread import spread


@pytest.mark.parametrize("limit", [1, 2, 50, 83, 84, 100])
def test_so_many_are_taken_and_they_reach_over_the_whole_list(limit):
    found = spread(range(84), limit)
    assert len(found) == len(set(found)) == min(limit, 84) and found == sorted(found)
    assert found[0] == 0 and 84 - found[-1] <= -(-84 // limit)


def test_without_a_limit_all_are_taken():
    assert spread("abc", None) == ["a", "b", "c"]
