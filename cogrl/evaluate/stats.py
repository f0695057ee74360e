"""Means with cluster-bootstrap intervals, and classification scores: every number of a results table is made here."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from cogrl.types import EMOTIONS

Numbers = Sequence[float | int] | np.ndarray


@dataclass(frozen=True)
class Interval:
    """A figure and its bootstrap percentile interval. With one cluster the bounds are NaN: the spread is unknown."""

    mean: float
    low: float
    high: float


def bootstrap(
    columns: Float[np.ndarray, "items m"],
    statistic: Callable[[Float[np.ndarray, "draws m"]], Float[np.ndarray, " draws"]],
    clusters: Sequence[Hashable] | None = None,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """`statistic` of the column sums, with a cluster bootstrap interval.

    (Field and Welsh 2007, doi:10.1111/j.1467-9868.2007.00593.x) `clusters[i]` is what item `i` shares with others, such
    as (speaker, text_group): whole clusters are drawn with replacement, so that repeated takes of one cell do not pass
    for independent evidence. None: every item is its own. Draws in which the statistic is not finite (0 / 0) are left
    out of the interval. Raises ValueError for another number of clusters than items.
    """
    names = range(len(columns)) if clusters is None else clusters
    if len(names) != len(columns):
        raise ValueError(f"{len(columns)} values but {len(names)} clusters; give one cluster for each value")
    index: dict[Hashable, int] = {}
    rows = [index.setdefault(name, len(index)) for name in names]
    sums = np.zeros((len(index), columns.shape[1]))
    np.add.at(sums, rows, columns)
    mean = float(statistic(sums.sum(0, keepdims=True))[0])
    k, rng, found = len(sums), np.random.default_rng(seed), []
    block = max(1, 4_000_000 // k)  # draws at a time, so that many clusters do not fill the memory
    for size in [block] * (n // block) + [n % block]:
        drawn = rng.integers(k, size=(size, k)) + k * np.arange(size)[:, None]
        found.append(statistic(np.bincount(drawn.ravel(), minlength=size * k).reshape(size, k) @ sums))
    values = np.concatenate(found)
    values = values[np.isfinite(values)]
    if k == 1 or not len(values):
        return Interval(mean, float("nan"), float("nan"))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high))


def bootstrap_mean(
    values: Numbers,
    clusters: Sequence[Hashable] | None = None,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Mean of `values` with a cluster bootstrap interval (see `bootstrap`).

    Raises ValueError for no values, values that are not finite (drop and report them first), or other lengths.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"a mean needs a non-empty list of numbers, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{np.sum(~np.isfinite(values))} of {len(values)} values are not finite; drop and report them")
    return bootstrap(np.stack([values, np.ones_like(values)], 1), _quotient, clusters, n, seed, level)


def bootstrap_ratio(a: Numbers, b: Numbers, clusters: Sequence[Hashable] | None = None, seed: int = 0) -> Interval:
    """Mean of `a` over mean of `b`, two figures of the same items, with a cluster bootstrap interval; NaN over 0."""
    if len(a) != len(b) or not len(a):
        raise ValueError(f"a ratio needs pairs, got {len(a)} and {len(b)} values")
    return bootstrap(np.stack([a, b], 1).astype(float), _quotient, clusters, seed=seed)


def bootstrap_unweighted_accuracy(
    true: Sequence[str],
    predicted: Sequence[str | None],
    clusters: Sequence[Hashable] | None = None,
    labels: Sequence[str] = EMOTIONS,
    seed: int = 0,
) -> Interval:
    """`unweighted_accuracy` with a cluster bootstrap interval: a draw takes the recalls of the labels it holds."""
    if len(true) != len(predicted) or not len(true):
        raise ValueError(f"recall of {len(true)} true labels and {len(predicted)} predictions is undefined")
    support = np.array([[float(truth == label) for label in labels] for truth in true])
    hits = support * np.array([[float(t == p)] for t, p in zip(true, predicted, strict=True)])
    return bootstrap(np.concatenate([hits, support], 1), _mean_recall, clusters, seed=seed)


def confusion(
    true: Sequence[str], predicted: Sequence[str | None], labels: Sequence[str] = EMOTIONS
) -> Int[np.ndarray, "k k1"]:
    """Counts: row = true label, column = predicted one, in the order of `labels`.

    The last column holds predictions that are None or no label at all: an answer that cannot be read is an error, not
    a gap. Raises ValueError for a true label that is unknown or for other lengths.
    """
    if len(true) != len(predicted):
        raise ValueError(f"{len(true)} true labels but {len(predicted)} predictions")
    column = {label: i for i, label in enumerate(labels)}
    unknown = sorted(set(true) - column.keys())
    if unknown:
        raise ValueError(f"unknown true labels {unknown}; known: {', '.join(labels)}")
    counts = np.zeros((len(labels), len(labels) + 1), dtype=int)
    for truth, guess in zip(true, predicted, strict=True):
        counts[column[truth], column.get(guess, len(labels))] += 1
    return counts


def accuracy(true: Sequence[str], predicted: Sequence[str | None]) -> float:
    """Share of items predicted right (weighted accuracy, WA). Raises ValueError for no items or other lengths."""
    if len(true) != len(predicted) or not true:
        raise ValueError(f"accuracy of {len(true)} true labels and {len(predicted)} predictions is undefined")
    return sum(truth == guess for truth, guess in zip(true, predicted, strict=True)) / len(true)


def unweighted_accuracy(
    true: Sequence[str], predicted: Sequence[str | None], labels: Sequence[str] = EMOTIONS
) -> float:
    """Mean recall over the labels that occur in `true` (UA): chance is one over their number, however unbalanced."""
    counts = confusion(true, predicted, labels)
    support = counts.sum(axis=1)
    if not support.any():
        raise ValueError("no items: recall is undefined")
    return float(np.mean(np.diagonal(counts)[support > 0] / support[support > 0]))


def macro_f1(true: Sequence[str], predicted: Sequence[str | None], labels: Sequence[str] = EMOTIONS) -> float:
    """Mean F1 over the labels that occur in `true` or `predicted`."""
    counts = confusion(true, predicted, labels)
    hits = np.diagonal(counts)
    both = counts.sum(axis=1) + counts[:, :-1].sum(axis=0)
    if not both.any():
        raise ValueError("no items: F1 is undefined")
    return float(np.mean(2 * hits[both > 0] / both[both > 0]))


def signed_rank(a: Numbers, b: Numbers, clusters: Sequence[Hashable] | None = None) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test for paired `a` and `b` (Wilcoxon 1945, doi:10.2307/3001968).

    With `clusters` the means of each cluster are paired, its items not being independent. 1.0 where no pair differs.
    """
    from scipy.stats import wilcoxon

    differences = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    if clusters is not None:
        groups: dict[Hashable, list[float]] = {}
        for cluster, difference in zip(clusters, differences, strict=True):
            groups.setdefault(cluster, []).append(difference)
        differences = np.array([np.mean(group) for group in groups.values()])
    if not differences.any():
        return 1.0
    return float(wilcoxon(differences).pvalue)


def _quotient(sums: Float[np.ndarray, "draws 2"]) -> Float[np.ndarray, " draws"]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(sums[:, 1] > 0, sums[:, 0] / sums[:, 1], np.nan)


def _mean_recall(sums: Float[np.ndarray, "draws m"]) -> Float[np.ndarray, " draws"]:
    hits, support = np.split(sums, 2, axis=1)
    recalls = np.where(support > 0, hits / np.maximum(support, 1), 0.0)
    return recalls.sum(1) / (support > 0).sum(1)
