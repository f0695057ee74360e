"""Training stages as LightningModules, each written after the algorithm of its paper."""

from cogrl.stages.align import Align
from cogrl.stages.distill import Distill
from cogrl.stages.dr_sapo import DrSapo
from cogrl.stages.grpo import Grpo
from cogrl.stages.perceive import Perceive
from cogrl.stages.perceive_frames import PerceiveFrames
from cogrl.stages.sft import Sft
from cogrl.stages.speak import Speak
from cogrl.stages.stage import Stage

__all__ = ["Align", "Distill", "DrSapo", "Grpo", "Perceive", "PerceiveFrames", "Sft", "Speak", "Stage"]
