"""Group Relative Policy Optimisation with separate clip bounds. (arXiv:2402.03300; clip-higher: arXiv:2503.14476)"""

from typing import Any

from cogrl.lm_head import PolicyLossConfig
from cogrl.models.audio_lm import AudioLM
from cogrl.stages.rl import RLStage
from cogrl.types import Rollouts


class Grpo(RLStage):
    """The clipped-ratio objective on one or both routes.

    Args:
        clip_low, clip_high: the ratio is clipped to [1 - clip_low, 1 + clip_high].
    """

    def __init__(
        self,
        policy: AudioLM,
        clip_low: float = 0.2,
        clip_high: float = 0.2,
        **shared: Any,
    ) -> None:
        super().__init__(policy, **shared)
        self.bounds = PolicyLossConfig("grpo", clip_low=clip_low, clip_high=clip_high)

    def objective(self, rollouts: Rollouts) -> PolicyLossConfig:
        return self.bounds
