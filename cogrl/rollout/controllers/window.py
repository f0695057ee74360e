"""The probabilities of the last tokens of each running completion."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


class ConfidenceWindow:
    """A ring of the last `size` probabilities of each of `b` completions; it starts empty, behind the prompt."""

    def __init__(self, b: int, size: int, device: torch.device) -> None:
        self.size = size
        self.ring = torch.zeros(b, size, device=device)
        self.count = torch.zeros(b, dtype=torch.long, device=device)

    def push(self, rows: Int[Tensor, " r"], probabilities: Float[Tensor, " r"]) -> None:
        """One more token of the completions `rows`."""
        count = self.count[rows]
        self.ring[rows, count % self.size] = probabilities
        self.count[rows] = count + 1

    def confidence(self, rows: Int[Tensor, " r"]) -> Float[Tensor, " r"]:
        """The mean of the last `size` probabilities; of a ring that is not full, infinite."""
        return self.ring[rows].mean(1).masked_fill(self.count[rows] < self.size, torch.inf)
