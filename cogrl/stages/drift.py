"""Checks whether the policy moves between the updates of a rollout; if it does not, gates and clips are inert."""

import warnings
from collections.abc import Mapping
from statistics import fmean
from typing import Any

NOISE = 1.1
"""The later updates must drift so many times as far as the first: noise alone differs a little between mini-batches."""


class DriftMonitor:
    """Warns once when it does not, in so many `rollouts` in a row.

    In the first update of a rollout the policy is still the one that sampled, so its mean |log ratio| is numerical
    noise; that of the later updates, together, has to stand out from it. A rollout is judged when the next one begins,
    and not at all when it has no later updates.
    """

    def __init__(self, rollouts: int = 5):
        self.rollouts = rollouts
        self.sampled_at: int | None = None
        self.first: list[float] = []
        self.later: list[float] = []
        self.still, self.warned = 0, False

    def add(self, drift: float, step: int, sampled_at: int) -> None:
        """The mean |log ratio| of a micro-batch at optimiser step `step`, sampled at `sampled_at`."""
        if sampled_at != self.sampled_at:
            self.judge()
            self.sampled_at, self.first, self.later = sampled_at, [], []
        (self.first if step == sampled_at else self.later).append(drift)

    def state_dict(self) -> dict[str, Any]:
        held = {name: vars(self)[name] for name in ("sampled_at", "still", "warned")}
        return held | {"first": list(self.first), "later": list(self.later)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)

    def judge(self) -> None:
        if self.warned or not self.first or not self.later:
            return
        noise, drift = fmean(self.first), fmean(self.later)
        self.still = self.still + 1 if drift <= NOISE * noise else 0
        if self.still == self.rollouts:
            self.warned = True
            warnings.warn(
                "the policy does not move between the updates of a rollout, so the gate (or clip) is inert: for "
                f"{self.rollouts} rollouts in a row the mean |log ratio| of the later updates (now {drift:.1e}) was "
                f"no more than that of the first, numerical noise (now {noise:.1e}); raise optim.lr (it may still be "
                "warming up), see that weights train and are not too coarse for such small steps, and that rewards "
                "differ within groups (rollout/groups_without_signal)",
                stacklevel=2,
            )
