"""Group Relative Policy Optimisation with separate clip bounds. (arXiv:2402.03300; clip-higher: arXiv:2503.14476)"""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from cogrl.lm_head import TokenLogprobs
from cogrl.models.audio_lm import AudioLM
from cogrl.objectives.grpo import clip_fraction, grpo
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
        self.clip_low, self.clip_high = clip_low, clip_high

    def loss(self, rollouts: Rollouts, tokens: TokenLogprobs) -> Float[Tensor, "b t"]:
        old, mask = rollouts.sampling_logprobs, rollouts.completions.mask
        clipped = clip_fraction(tokens.logprobs, old, rollouts.advantages, mask, self.clip_low, self.clip_high)
        self.log("policy/clip_fraction", clipped)
        return grpo(tokens.logprobs, old, rollouts.advantages, mask, self.clip_low, self.clip_high)
