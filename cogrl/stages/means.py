"""Means over all samples of all ranks: sums and counts are added up first and divided once."""

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor

from cogrl.ranks import gathered

Totals = Mapping[str, tuple[float, int]]
"""A sum and a count by name."""


class Means:
    """Collects named values on each rank; `over_ranks` gives the means over all ranks.

    Ranks may add other names, in another order: what is reduced is the union of their names, in the order in which the
    lowest rank that has a name added it, so that every rank gets the same names in the same order.
    """

    def __init__(self) -> None:
        self.totals: dict[str, tuple[float, int]] = {}

    def add(self, name: str, mean: float | Tensor, count: int) -> None:
        """The mean of `count` samples. With a count of 0 it is left out whatever it is; NaN else stays NaN."""
        total, n = self.totals.get(name, (0.0, 0))
        if count:
            total, n = total + float(mean) * count, n + count
        self.totals[name] = total, n

    def add_applicable(self, name: str, values: Float[Tensor, " n"]) -> None:
        """A value a sample; NaN means that the quantity does not apply to it, and it is not counted."""
        applicable = values[~values.isnan()].double()
        self.add(name, applicable.mean(), len(applicable))

    def over_ranks(self) -> dict[str, float]:
        """The mean of each name over the samples of all ranks; a name without samples is left out. Collective."""
        return means_of(gathered(self.totals))


def means_of(ranks: Sequence[Totals]) -> dict[str, float]:
    """The same from the totals of each rank."""
    names = dict.fromkeys(name for totals in ranks for name in totals)
    sums = {name: [totals[name] for totals in ranks if name in totals] for name in names}
    counts = {name: sum(count for _, count in parts) for name, parts in sums.items()}
    return {name: sum(total for total, _ in parts) / counts[name] for name, parts in sums.items() if counts[name]}
