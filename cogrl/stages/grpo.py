"""Group Relative Policy Optimisation with separate clip bounds. (arXiv:2402.03300; clip-higher: arXiv:2503.14476)"""

from typing import Any

from cogrl.models.audio_lm import AudioLM
from cogrl.stages.objective import Objective
from cogrl.stages.rl import RLStage


class Grpo(RLStage):
    """The clipped-ratio objective in one or both formats, or another one of its family: dapo, dr_grpo, gspo, cispo."""

    def __init__(self, policy: AudioLM, objective: Objective = Objective("grpo"), **shared: Any) -> None:
        super().__init__(policy, objective, **shared)
