"""Losses of dimensional emotion: valence, arousal and dominance."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import mse_loss


def ccc(predicted: Float[Tensor, "b k"], target: Float[Tensor, "b k"], eps: float = 1e-8) -> Float[Tensor, ""]:
    """`1 - concordance correlation coefficient`, mean over the `k` dimensions. (Lin 1989, doi:10.2307/2532051)

    `1 - 2 cov / (var + var' + (mean - mean')^2)` with population moments over the batch, so it means something for
    batches of many clips only. In [0, 2]; a constant target gives 1.
    """
    mean, target_mean = predicted.mean(0), target.mean(0)
    covariance = ((predicted - mean) * (target - target_mean)).mean(0)
    spread = predicted.var(0, unbiased=False) + target.var(0, unbiased=False) + (mean - target_mean).square()
    return (1 - 2 * covariance / (spread + eps)).mean()


def mse(predicted: Float[Tensor, "b k"], target: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
    """Mean squared error: RE-LLM's dimensional loss. (arXiv:2602.10716)"""
    return mse_loss(predicted, target)


DIMENSION_LOSSES: dict[str, Callable[..., Tensor]] = {"mse": mse, "ccc": ccc}
