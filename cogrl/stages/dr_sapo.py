"""Dual-route RL with the soft adaptive gate. (arXiv:2606.06940, stage III; gate: arXiv:2511.20347)"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cogrl.lm_head import TokenLogprobs
from cogrl.models.audio_lm import AudioLM
from cogrl.objectives.sapo import sapo, sapo_gate
from cogrl.stages.rl import RLStage
from cogrl.types import Rollouts


class DrSapo(RLStage):
    """Both routes learn from their own reward (RF1 thinks aloud, RF2 answers), each group compared within itself.

    Args:
        tau_pos, tau_neg: gate temperatures for positive and for other advantages; SAPO's defaults. (10, 12) is the
            pair a later study prefers with 2 updates per rollout. (arXiv:2602.19345)
    """

    def __init__(
        self,
        policy: AudioLM,
        tau_pos: float = 1.0,
        tau_neg: float = 1.05,
        **shared: Any,
    ) -> None:
        super().__init__(policy, **shared)
        self.tau_pos, self.tau_neg = tau_pos, tau_neg

    def loss(self, rollouts: Rollouts, tokens: TokenLogprobs) -> Float[Tensor, "b t"]:
        old, mask = rollouts.sampling_logprobs, rollouts.completions.mask
        self.log_gate(rollouts, sapo_gate(tokens.logprobs, old, rollouts.advantages, mask, self.tau_pos, self.tau_neg))
        return sapo(tokens.logprobs, old, rollouts.advantages, mask, self.tau_pos, self.tau_neg)

    def log_gate(self, rollouts: Rollouts, gate: Float[Tensor, "b t"]) -> None:
        """Mean gate for each route and advantage sign, and the share of tokens the gate lets through (>= 0.5)."""
        mask = rollouts.completions.mask
        for route in self.routes:
            mine = torch.tensor([r == route for r in rollouts.row_routes], device=gate.device)
            for sign, chosen in (("pos", rollouts.advantages > 0), ("neg", rollouts.advantages < 0)):
                self.log_finite(f"gate/{route}/{sign}", gate[mask & (mine & chosen)[:, None]])
        self.log_finite("gate/effective_tokens", (gate[mask] >= 0.5).float())
