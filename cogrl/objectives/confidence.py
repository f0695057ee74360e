"""How sure a policy was of a completion, and weights of advantages made of it. (DeepConf, arXiv:2508.15260)

The confidence of a token is the probability at which it was drawn, that of a window the mean over `window` consecutive
tokens of one completion, and the lowest group confidence (LGC) of a completion the lowest of its windows. Only tokens
that the policy drew from its own distribution count: they are moved together first, so that no window holds padding or
what a controller inserted, every window ends within its completion, and the last one ends with it.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@torch.no_grad()
def window_confidences(logprobs: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"], window: int) -> Float[Tensor, "b t"]:
    """At place i the mean probability of the masked-in tokens `i - window + 1 ... i` of the row, counted among them.

    NaN where fewer than `window` lead up to i, and behind the last one.
    """
    order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)
    counted = mask.gather(1, order)
    sums = (logprobs.double().exp() * mask).gather(1, order).cumsum(1)
    earlier = torch.nn.functional.pad(sums, (window, 0))[:, : sums.shape[1]]
    place = torch.arange(sums.shape[1], device=sums.device)
    means = ((sums - earlier) / window).float()
    return means.masked_fill(~counted | (place < window - 1), torch.nan)


@torch.no_grad()
def lowest_group_confidence(
    logprobs: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"], window: int
) -> Float[Tensor, " b"]:
    """LGC: the mean probability of the least sure window; of a completion shorter than one, of all its tokens.

    NaN for a completion without a masked-in token.
    """
    lowest = window_confidences(logprobs, mask, window).nan_to_num(nan=torch.inf).amin(1)
    mean = (logprobs.double().exp() * mask).sum(1) / mask.sum(1)
    return torch.where(lowest.isinf(), mean.float(), lowest)


@dataclass(frozen=True)
class ConfidenceWeights:
    """Factors on advantages by confidence: `0.5 + sigmoid(z)`, z the standardised LGC. (HyPeR, arXiv:2604.14806)

    They lie between 0.5 and 1.5, so that the paper's clipping to that range changes nothing, and are not made to
    average to 0 with the advantages again: that would turn signs, and punish a right answer for being unsure. What a
    group's advantages then sum to is one baseline more for its completions, and no bias. An aborted completion weighs
    0. It has been counted in the mean reward of its group all the same, since else aborting would raise the baseline.

    Args:
        window: tokens of a window.
    """

    window: int = 64

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ValueError(f"confidence_weights.window={self.window} must be at least 1 token")

    @torch.no_grad()
    def __call__(
        self, logprobs: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"], aborted: Bool[Tensor, " b"]
    ) -> Float[Tensor, " b"]:
        """One weight a completion, standardised over the batch, aborted ones apart; 1 where there is nothing to tell.

        `logprobs` are those at sampling and `mask` the tokens that train.
        """
        lgc = lowest_group_confidence(logprobs, mask, self.window)
        known = lgc[~(aborted | lgc.isnan())]
        if not len(known):
            return (~aborted).float()
        z = (lgc - known.mean()) / (known.std(correction=0) + 1e-6)
        return (0.5 + z.nan_to_num().sigmoid()).masked_fill(aborted, 0.0)
