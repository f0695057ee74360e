import math

import numpy as np
import pytest

from cogrl.evaluate.stats import (
    accuracy,
    bootstrap_mean,
    bootstrap_ratio,
    bootstrap_unweighted_accuracy,
    confusion,
    macro_f1,
    signed_rank,
    unweighted_accuracy,
)


def test_equal_values_have_an_interval_of_no_width():
    interval = bootstrap_mean([0.25] * 10)
    assert (interval.mean, interval.low, interval.high) == (0.25, 0.25, 0.25)


def test_the_interval_of_a_coin_is_the_normal_one():
    values = [0.0, 1.0] * 200
    interval = bootstrap_mean(values, n=4000)
    half_width = 1.96 * 0.5 / math.sqrt(400)
    assert interval.mean == 0.5
    assert interval.low == pytest.approx(0.5 - half_width, abs=0.006)
    assert interval.high == pytest.approx(0.5 + half_width, abs=0.006)


def test_a_lower_level_gives_a_narrower_interval():
    values = np.random.default_rng(0).normal(size=200)
    wide, narrow = bootstrap_mean(values, level=0.95), bootstrap_mean(values, level=0.5)
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


def test_copies_of_a_value_in_one_cluster_add_no_evidence():
    values = np.random.default_rng(1).normal(size=40)
    alone = bootstrap_mean(values)
    copied = bootstrap_mean(np.repeat(values, 25), clusters=list(np.repeat(np.arange(40), 25)))
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high))
    naive = bootstrap_mean(np.repeat(values, 25))
    assert naive.high - naive.low < 0.3 * (alone.high - alone.low)


def test_clusters_may_be_cells_of_speaker_and_text_in_any_order():
    rng = np.random.default_rng(2)
    cells = [(f"s{i % 7}", f"t{i % 3}") for i in range(210)]
    values = rng.normal(size=210)
    order = rng.permutation(210)
    first = bootstrap_mean(values, cells)
    second = bootstrap_mean(values[order], [cells[i] for i in order])
    assert (first.high - first.low) == pytest.approx(second.high - second.low, rel=0.1)


def test_clusters_weigh_by_their_size_in_the_mean():
    interval = bootstrap_mean([0.0] * 9 + [1.0], clusters=["a"] * 9 + ["b"])
    assert interval.mean == pytest.approx(0.1)
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_one_cluster_says_nothing_of_spread():
    interval = bootstrap_mean([1.0, 2.0, 3.0], clusters=["a"] * 3)
    assert interval.mean == 2.0 and math.isnan(interval.low) and math.isnan(interval.high)


def test_intervals_cover_the_truth_about_as_often_as_they_promise():
    rng = np.random.default_rng(3)
    hits = naive_hits = 0
    for trial in range(150):
        effect = np.repeat(rng.normal(size=40), 5)
        values = effect + rng.normal(scale=0.5, size=200)
        interval = bootstrap_mean(values, list(np.repeat(np.arange(40), 5)), n=300, seed=trial)
        naive = bootstrap_mean(values, n=300, seed=trial)
        hits += interval.low <= 0 <= interval.high
        naive_hits += naive.low <= 0 <= naive.high
    assert 0.87 <= hits / 150 <= 0.99
    assert naive_hits / 150 < 0.75


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(4).normal(size=50)
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)


def test_pairing_removes_what_the_items_have_in_common():
    rng = np.random.default_rng(5)
    item = rng.normal(scale=3, size=100)
    a, b = item + 0.2 + 0.1 * rng.normal(size=100), item
    difference = bootstrap_mean(a - b)
    assert difference.low > 0 and difference.mean == pytest.approx(np.mean(a) - np.mean(b))
    reverse = bootstrap_mean(b - a)
    assert (reverse.low, reverse.high) == pytest.approx((-difference.high, -difference.low), abs=0.01)


@pytest.mark.parametrize(
    ("values", "clusters"), [([], None), ([1.0, math.nan], None), ([1.0, math.inf], None), ([1.0, 2.0], ["a"])]
)
def test_nonsense_is_refused(values, clusters):
    with pytest.raises(ValueError):
        bootstrap_mean(values, clusters)


def test_pairs_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="3 and 2"):
        bootstrap_ratio([1, 2, 3], [1, 2])


TRUE = ["sad", "sad", "sad", "happy", "anger", "anger"]
GUESS = ["sad", "happy", None, "happy", "sad", "shouting"]


def test_confusion_counts_rows_of_truth_and_keeps_the_unreadable():
    counts = confusion(TRUE, GUESS, labels=("anger", "happy", "sad"))
    assert counts.tolist() == [[0, 0, 1, 1], [0, 1, 0, 0], [0, 1, 1, 1]]


def test_scores_by_hand():
    labels = ("anger", "happy", "sad", "fear")
    assert accuracy(TRUE, GUESS) == pytest.approx(2 / 6)
    assert unweighted_accuracy(TRUE, GUESS, labels) == pytest.approx((0 + 1 + 1 / 3) / 3)
    assert macro_f1(TRUE, GUESS, labels) == pytest.approx((0 + 2 / 3 + 2 / 5) / 3)


def test_a_label_that_is_only_predicted_lowers_f1_but_not_recall():
    true, guess = ["sad"] * 4, ["sad", "sad", "sad", "fear"]
    assert unweighted_accuracy(true, guess) == 0.75
    assert macro_f1(true, guess) == pytest.approx((6 / 7 + 0) / 2)


def test_always_the_commonest_label_is_at_chance_in_unweighted_accuracy():
    true = ["neutral"] * 90 + ["sad"] * 10
    assert accuracy(true, ["neutral"] * 100) == 0.9
    assert unweighted_accuracy(true, ["neutral"] * 100) == 0.5


def test_an_unreadable_answer_is_wrong_even_where_the_label_reads_none():
    assert accuracy(["neutral"], [None]) == 0.0
    assert accuracy(["None"], [None]) == 0.0


def test_classification_refuses_nonsense():
    with pytest.raises(ValueError, match="bored"):
        confusion(["bored"], ["sad"])
    for score in (accuracy, unweighted_accuracy, macro_f1):
        with pytest.raises(ValueError):
            score([], [])
        with pytest.raises(ValueError):
            score(["sad"], [])


def test_recall_has_an_interval_over_cells():
    true, cells = ["sad", "happy"] * 40, [f"c{i // 4}" for i in range(80)]
    guess = ["sad" if i < 40 else "happy" for i in range(80)]
    interval = bootstrap_unweighted_accuracy(true, guess, cells)
    assert interval.mean == pytest.approx(unweighted_accuracy(true, guess)) == 0.5
    flat = bootstrap_unweighted_accuracy(true, [*true[:40], *([None] * 40)], cells)
    clips = bootstrap_unweighted_accuracy(true, [*true[:40], *([None] * 40)])
    assert flat.mean == 0.5 and flat.high - flat.low > 1.5 * (clips.high - clips.low)


def test_a_ratio_divides_means_and_not_items():
    interval = bootstrap_ratio([1, 0, 1, 1], [2, 2, 1, 1])
    assert interval.mean == 0.5 and interval.low < 0.5 < interval.high
    assert math.isnan(bootstrap_ratio([1, 1], [0, 0]).mean)


def test_the_signed_rank_test_by_hand():
    """Six positive differences of six: 2 of 2^6 signs are as far out."""
    assert signed_rank([2, 3, 4, 5, 6, 7], [1, 1, 1, 1, 1, 1]) == pytest.approx(2 / 64)
    assert signed_rank([1, 2], [1, 2]) == 1.0
    copies = signed_rank(np.repeat([2, 3, 4, 5, 6, 7], 20), np.ones(120), list(np.repeat(np.arange(6), 20)))
    assert copies == pytest.approx(2 / 64)
