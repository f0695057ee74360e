"""Dual-route RL with the soft adaptive gate. (arXiv:2606.06940, stage III; gate: arXiv:2511.20347)"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cogrl.lm_head import PolicyLossConfig
from cogrl.models.audio_lm import AudioLM
from cogrl.stages.rl import RLStage
from cogrl.types import Rollouts, Route


class DrSapo(RLStage):
    """Both routes learn from their own reward (RF1 thinks aloud, RF2 answers), each group compared within itself.

    Args:
        tau_pos, tau_neg: gate temperatures for positive and for other advantages, one for all or one a route; SAPO's
            defaults. (10, 12) is the pair a later study prefers with 2 updates per rollout. (arXiv:2602.19345)
    """

    def __init__(
        self,
        policy: AudioLM,
        tau_pos: float | dict[Route, float] = 1.0,
        tau_neg: float | dict[Route, float] = 1.05,
        **shared: Any,
    ) -> None:
        super().__init__(policy, **shared)
        self.tau_pos, self.tau_neg = (
            self.by_route(name, tau) for name, tau in (("tau_pos", tau_pos), ("tau_neg", tau_neg))
        )

    def by_route(self, name: str, tau: float | dict[Route, float]) -> Mapping[Route, float]:
        taus = tau if isinstance(tau, dict) else {route: tau for route in self.routes}
        if set(taus) != set(self.routes) or not all(value > 0 for value in taus.values()):
            raise ValueError(f"{name}={tau}: need a positive temperature, or one for each route of {self.routes}")
        return taus

    def objective(self, rollouts: Rollouts) -> PolicyLossConfig:
        def each(taus: Mapping[Route, float]) -> Float[Tensor, " b"]:
            return torch.tensor([taus[route] for route in rollouts.row_routes], device=self.device)

        return PolicyLossConfig("sapo", tau_pos=each(self.tau_pos), tau_neg=each(self.tau_neg))
