"""Words about sound, behind which an unsure policy may pause more easily while training is young."""

import math
from dataclasses import dataclass

import torch

HEARING = ("tone", "intonation", "pitch", "volume", "background music", "noise", "emotion", "voice")
"""Words that a listener writes where it is worth listening more closely. (HyPeR, arXiv:2604.14806)"""


@dataclass(frozen=True)
class Keywords:
    """Behind one of `phrases` the threshold of a pause is raised by `bias`, in logits, which falls to 0 in training.

    Args:
        phrases: whole words, with or without a capital.
        bias: at the first step.
        share: of the optimiser steps, after which it is 0: inference needs no list.
        reach: drawn tokens behind a phrase in which it counts.
    """

    phrases: tuple[str, ...] = HEARING
    bias: float = 5.0
    share: float = 0.15
    reach: int = 64

    def __post_init__(self) -> None:
        if not self.phrases or not all(phrase.strip() for phrase in self.phrases):
            raise ValueError(f"keywords.phrases={self.phrases}: need one at least, and none empty")
        if not 0 < self.share <= 1 or self.bias < 0 or self.reach < 1:
            raise ValueError(
                f"keywords: bias={self.bias} must be at least 0, share={self.share} above 0 and up to 1, "
                f"reach={self.reach} at least 1"
            )

    def bias_at(self, progress: float) -> float:
        """The bias when a share `progress` of the steps is done."""
        return self.bias * max(0.0, 1 - progress / self.share)


def raised(probability: float, bias: float) -> float:
    """A probability with `bias` added to its logit; 0 and 1 stay."""
    if not 0 < probability < 1:
        return probability
    return torch.sigmoid(torch.tensor(math.log(probability / (1 - probability)) + bias)).item()
