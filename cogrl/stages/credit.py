"""Credit: from the rewards of a rollout to the advantage of every completion, or of every token."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cogrl.objectives.advantages import Advantages
from cogrl.objectives.confidence import ConfidenceWeights
from cogrl.stages.section_credit import SectionCredit
from cogrl.types import Rollouts, Scores


@dataclass(frozen=True)
class Credit:
    """Advantages within each group, times the weights of format and confidence; 0 for a failed reward.

    The arguments are those of `RLStage`; `format_weights` has every format.
    """

    advantages: Advantages
    group_size: int
    variance_tolerance: float
    format_weights: Mapping[str, float]
    section_credit: SectionCredit | None = None
    confidence_weights: ConfidenceWeights | None = None

    def __call__(self, rollouts: Rollouts, scores: Scores, decode: Callable[[Int[Tensor, " n"]], str]) -> Rollouts:
        """The rollouts with their rewards and advantages; `decode` makes text of token ids."""
        weights = torch.tensor([self.format_weights[format] for format in rollouts.row_formats])
        if self.confidence_weights:
            logprobs, mask = rollouts.sampling_logprobs.cpu(), rollouts.completions.mask.cpu()
            aborted = torch.tensor([reason == "abort" for reason in rollouts.finish])
            weights = weights * self.confidence_weights(logprobs, mask, aborted)
        if self.section_credit:
            advantages = self.section_credit.advantages(rollouts, scores, self.estimate, decode)
            return replace(rollouts, rewards=scores.total, advantages=advantages * weights[:, None])
        return replace(rollouts, rewards=scores.total, advantages=self.estimate(scores.total) * weights)

    def estimate(self, rewards: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """The advantages of one reward a completion."""
        return self.advantages(rewards, self.group_size, self.variance_tolerance)
