"""Means with honest intervals, and classification scores. Every number of a results table comes from here."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from cogrl.types import EMOTIONS


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap percentile interval. With one cluster the bounds are NaN: it says nothing of spread."""

    mean: float
    low: float
    high: float


def bootstrap_mean(
    values: Sequence[float | int] | np.ndarray,
    clusters: Sequence[Hashable] | None = None,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Mean of `values` with a cluster bootstrap interval (Field and Welsh 2007, doi:10.1111/j.1467-9868.2007.00593.x).

    `clusters[i]` is what `values[i]` shares with others, such as (speaker, text_group): whole clusters are drawn with
    replacement, so that repeated takes of one cell do not pass for independent evidence. None: every value is its own.
    Raises ValueError for no values, values that are not finite (drop and report them first), or other lengths.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"a mean needs a non-empty list of numbers, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{np.sum(~np.isfinite(values))} of {len(values)} values are not finite; drop and report them")
    sums, counts = _by_cluster(values, range(len(values)) if clusters is None else clusters)
    mean = float(values.mean())
    if len(sums) == 1:
        return Interval(mean, float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    draws = (rng.integers(len(sums), size=len(sums)) for _ in range(n))
    means = [sums[drawn].sum() / counts[drawn].sum() for drawn in draws]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high))


def paired_bootstrap(
    a: Sequence[float | int] | np.ndarray,
    b: Sequence[float | int] | np.ndarray,
    clusters: Sequence[Hashable] | None = None,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Mean of `a - b` where `a[i]` and `b[i]` are two systems on the same item, with a cluster bootstrap interval.

    An interval without 0 is a difference at this level. Raises ValueError as `bootstrap_mean` does.
    """
    if len(a) != len(b):
        raise ValueError(f"pairs need equal lengths, got {len(a)} and {len(b)}")
    return bootstrap_mean(np.asarray(a, dtype=float) - np.asarray(b, dtype=float), clusters, n, seed, level)


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


def _by_cluster(values: np.ndarray, clusters: Sequence[Hashable]) -> tuple[np.ndarray, np.ndarray]:
    """Sum and size of every cluster, in order of first appearance."""
    if len(clusters) != len(values):
        raise ValueError(f"{len(values)} values but {len(clusters)} clusters; give one cluster for each value")
    index: dict[Hashable, int] = {}
    rows = np.array([index.setdefault(cluster, len(index)) for cluster in clusters])
    return np.bincount(rows, weights=values), np.bincount(rows)
