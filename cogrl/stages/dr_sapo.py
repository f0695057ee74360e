"""Dual-route RL with the soft adaptive gate. (arXiv:2606.06940, stage III; gate: arXiv:2511.20347)"""

from typing import Any

from cogrl.models.audio_lm import AudioLM
from cogrl.stages.objective import Objective
from cogrl.stages.rl import RLStage


class DrSapo(RLStage):
    """Each format trains on its own reward (RF1 for `eips`, RF2 for `direct`), with advantages within each group."""

    def __init__(self, policy: AudioLM, objective: Objective = Objective("sapo"), **shared: Any) -> None:
        super().__init__(policy, objective, **shared)
