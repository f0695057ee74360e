"""What the rewards of a batch of completions are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Scores:
    """Rewards of `b` completions: the weighted `total` and each term before its weight (NaN = not applicable).

    `metrics` is what scoring the batch took, such as the failures and the tokens of a judge; it is logged as it is.
    `notes` says by term, for each completion, what a reader should know beside the value ('' for nothing): pieces that
    are joined by "; " and begin with +, - or ?, such as "+rain; -hum".
    """

    total: Float[Tensor, " b"]
    terms: Mapping[str, Float[Tensor, " b"]]
    metrics: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def with_rows(self, rows: Int[Tensor, " rows"], other: "Scores") -> "Scores":
        """These scores, those at `rows` replaced by `other`; the metrics stay those of the first scoring."""
        terms = {name: value.clone() for name, value in self.terms.items()}
        for name, values in terms.items():
            values[rows] = other.terms.get(name, torch.full_like(other.total, torch.nan))
        notes = {name: list(texts) for name, texts in self.notes.items()}
        for name, texts in notes.items():
            fresh = other.notes.get(name, [""] * len(rows))
            for row, text in zip(rows.tolist(), fresh, strict=True):
                texts[row] = text
        return replace(self, total=self.total.index_copy(0, rows, other.total), terms=terms, notes=notes)
