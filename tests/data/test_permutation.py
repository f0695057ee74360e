"""Shuffled orders that are computed place by place: each item once, evenly spread, the same on every machine."""

import numpy as np
import pytest

from cogrl.data.permutation import Permutation


def order(size, key="0/0"):
    permutation = Permutation(size, key)
    return [permutation[place] for place in range(size)]


def test_every_size_has_each_item_once():
    for size in [*range(40), 255, 256, 257, 1009]:
        assert sorted(order(size)) == list(range(size))


def test_a_large_order_is_known_at_its_ends_without_the_rest():
    permutation = Permutation(10**12, "7/3")
    found = {permutation[place] for place in (*range(50), *range(10**12 - 50, 10**12))}
    assert len(found) == 100 and all(0 <= item < 10**12 for item in found)
    assert len(vars(permutation)["round_keys"]) < 20


PINNED = [7, 4, 1, 6, 11, 0, 2, 9, 8, 5, 3, 10]


def test_the_order_is_this_one_on_every_machine():
    assert order(12, "0/0") == PINNED
    assert order(12, "0/1") != PINNED != order(12, "1/0")


@pytest.mark.parametrize("size", [2, 5, 16])
def test_over_the_keys_items_and_pairs_of_them_are_spread_as_a_fair_shuffle_spreads_them(size):
    keys = 600
    orders = np.array([order(size, str(key)) for key in range(keys)])
    items = np.stack([np.bincount(orders[:, place], minlength=size) for place in range(size)])
    assert far_from_even(items, (size - 1) / size, (size - 1) ** 2) < 4
    neighbours = np.bincount(orders[:, 0] * size + orders[:, 1], minlength=size * size).reshape(size, size)
    different = neighbours[~np.eye(size, dtype=bool)]
    assert far_from_even(different, 1.0, different.size - 1) < 4


def far_from_even(counts, scale, degrees):
    """Chi-square against equal counts, in standard deviations above its mean."""
    expected = counts.mean()
    return (scale * ((counts - expected) ** 2 / expected).sum() - degrees) / (2 * degrees) ** 0.5


def test_neighbours_in_the_manifest_do_not_stay_neighbours():
    places = np.argsort(order(5000))
    apart = np.abs(np.diff(places))
    assert abs(apart.mean() / (5000 / 3) - 1) < 0.05 and (apart == 1).mean() < 0.01


def test_a_place_outside_of_the_order_and_a_negative_size_are_refused():
    for place in (-1, 5):
        with pytest.raises(IndexError, match="of 5"):
            Permutation(5, "0/0")[place]
    with pytest.raises(ValueError, match="-1 items"):
        Permutation(-1, "0/0")
