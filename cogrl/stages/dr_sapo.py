"""Dual-route RL with the soft adaptive gate. (arXiv:2606.06940, stage III; gate: arXiv:2511.20347)"""

from typing import Any

from cogrl.lm_head import PolicyLossConfig
from cogrl.models.audio_lm import AudioLM
from cogrl.stages.rl import RLStage


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
        self.objective()  # bad temperatures are refused before anything is loaded

    def objective(self) -> PolicyLossConfig:
        return PolicyLossConfig("sapo", tau_pos=self.tau_pos, tau_neg=self.tau_neg)
