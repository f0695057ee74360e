"""Quantiles of the values that were seen last."""

import torch
from jaxtyping import Float
from torch import Tensor


class RunningQuantiles:
    """Of the last `size` values, exactly; None until there are `least` of them."""

    def __init__(self, size: int = 1024, least: int = 32) -> None:
        self.size, self.least = size, least
        self.values = torch.empty(0)

    def add(self, values: Float[Tensor, " n"]) -> None:
        """Takes in values; NaN are none."""
        self.values = torch.cat([self.values, values[~values.isnan()].float().cpu()])[-self.size :]

    def at(self, level: float) -> float | None:
        """The value that a share of `level` of the values is below."""
        return None if len(self.values) < self.least else self.values.quantile(level).item()
