"""The optimiser of every stage."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Optim:
    """AdamW with a linear warm-up of `warmup_steps` optimiser steps, then constant or falling to 0 as a cosine."""

    lr: float = 1e-4
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    warmup_steps: int = 0
    schedule: Literal["constant", "cosine"] = "constant"

    def scale(self, step: int, total_steps: int) -> float:
        """The share of `lr` used at `step` of `total_steps`."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        if self.schedule == "constant":
            return warm
        progress = max(0, step - self.warmup_steps) / max(1, total_steps - self.warmup_steps)
        return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
