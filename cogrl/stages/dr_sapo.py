"""Dual-route RL with the soft adaptive gate. (arXiv:2606.06940, stage III; gate: arXiv:2511.20347)"""

from typing import Any

from cogrl.models.audio_lm import AudioLM
from cogrl.stages.objective import Objective
from cogrl.stages.rl import RLStage


class DrSapo(RLStage):
    """Both formats learn from their own reward (RF1 thinks aloud, RF2 answers), each group compared within itself."""

    def __init__(self, policy: AudioLM, objective: Objective = Objective("sapo"), **shared: Any) -> None:
        super().__init__(policy, objective, **shared)
