"""Softmax statistics of rows of logits, and the gradient of the logits: all of a head but the matrix products.

In PyTorch, with `x = softcap * tanh(z / softcap) / temperature`: `lse = logsumexp(x)`, `logprobs = x[target] - lse`,
`entropy = -sum(p * log p)` with `p = exp(x - lse)`; and the derivative of the first and third with respect to `z`.

This is the seam behind which a fused implementation of the same two functions may stand. Both see `z` (c, v), float32
or float64, the logits with their bias; `targets` (c,) int64; `temperature` (c,) in the dtype of `z`; `softcap` a
number or None. A target outside [0, v) belongs to another shard of the vocabulary: it has no one-hot, and its
log-probability and top1 mean nothing. A bias of -1e4 on an id is fine; one of -inf is not (0 * inf in the entropy).
"""

import torch
from torch import Tensor

NOTHING = -1e30
"""Where a running maximum starts: finite, so that no difference of two maxima is NaN."""


def row_stats(
    z: Tensor, targets: Tensor, temperature: Tensor, softcap: float | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(logprobs, entropy, lse, top1), each (c,), the last bool: the target is the argmax. `z` is only read."""
    return finish(*row_partials(z, targets, temperature, softcap))


def row_partials(
    z: Tensor, targets: Tensor, temperature: Tensor, softcap: float | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(peak, total, first, chosen), each (c,): what a shard of the vocabulary knows. `z` is only read.

    `peak` = max x, `total` = sum exp(x - peak), `first` = sum exp(x - peak) * (x - peak), `chosen` = x at the target,
    NOTHING where the target is in another shard.
    """
    fold = Fold(targets, temperature, softcap)
    for start in range(0, z.shape[1], block_columns(z)):
        fold.add(z[:, start : start + block_columns(z)], start)
    return fold.partials()


def finish(peak: Tensor, total: Tensor, first: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(logprobs, entropy, lse, top1) from the partial results of a whole vocabulary."""
    log_total = total.log()
    logprobs = (chosen - peak - log_total).clamp(max=0.0)
    entropy = (log_total - first / total).clamp(min=0.0)
    return logprobs, entropy, peak + log_total, chosen == peak


def row_grad_(
    z: Tensor,
    targets: Tensor,
    lse: Tensor,
    entropy: Tensor,
    grad_logprobs: Tensor,
    grad_entropy: Tensor | None,
    temperature: Tensor,
    softcap: float | None,
    out_dtype: torch.dtype,
) -> Tensor:
    """dz (c, v) in `out_dtype` from the gradients (c,) of logprobs and entropy; overwrites `z`, may return it.

    `lse` and `entropy` are those of the whole vocabulary, also where `z` is a shard of it. A row whose gradients are
    both zero comes out exactly zero, whatever is in `z`.
    """
    inside = (targets >= 0) & (targets < z.shape[1])
    column = targets.clamp(0, z.shape[1] - 1)[:, None]
    dead = grad_logprobs == 0 if grad_entropy is None else (grad_logprobs == 0) & (grad_entropy == 0)
    grad_logprobs = grad_logprobs / temperature
    grad_entropy = None if grad_entropy is None else grad_entropy / temperature
    at_target = grad_logprobs.masked_fill(~inside, 0.0)[:, None]
    step = max(1, block_elements(z) // z.shape[1])
    for part in (slice(i, i + step) for i in range(0, len(z), step)):
        x, slope = z[part], None
        if softcap is not None:
            x.div_(softcap).tanh_()
            slope = 1 - x.square()
            x.mul_(softcap)
        x.div_(temperature[part, None]).sub_(lse[part, None])
        # d logprob = onehot - p;  d entropy = -p * (log p + entropy)
        if grad_entropy is None:
            x.exp_().mul_(-grad_logprobs[part, None])
        else:
            p = x.exp()
            x.add_(entropy[part, None]).mul_(-grad_entropy[part, None]).sub_(grad_logprobs[part, None]).mul_(p)
        x.scatter_add_(1, column[part], at_target[part])
        if slope is not None:
            x.mul_(slope)
    if z.device.type != "cpu" or dead.any():
        z.masked_fill_(dead[:, None], 0.0)
    return z.to(out_dtype)


class Fold:
    """Statistics of c rows that arrive in blocks of columns, from left to right (online softmax, arXiv 1805.02867)."""

    def __init__(self, targets: Tensor, temperature: Tensor, softcap: float | None) -> None:
        self.targets, self.temperature, self.softcap = targets, temperature, softcap
        self.peak = torch.full_like(temperature, NOTHING)
        self.chosen = torch.full_like(temperature, NOTHING)
        self.total = torch.zeros_like(temperature)
        self.first = torch.zeros_like(temperature)

    def add(self, z: Tensor, start: int) -> None:
        """The columns that begin at `start`; `z` is only read."""
        x = z if self.softcap is None else (z / self.softcap).tanh_().mul_(self.softcap)
        x = x / self.temperature[:, None]
        column = self.targets - start
        inside = (column >= 0) & (column < z.shape[1])
        chosen = x.gather(1, column.clamp(0, z.shape[1] - 1)[:, None]).squeeze(1)
        self.chosen = torch.where(inside, chosen, self.chosen)
        peak = torch.maximum(self.peak, x.amax(-1))
        # shifted by the peak before anything is summed: no cancellation when all logits sit far from zero
        p = x.sub_(peak[:, None]).exp()
        shift = self.peak - peak
        decay = shift.exp()
        self.total, self.first = (
            decay * self.total + p.sum(-1),
            decay * (self.first + shift * self.total) + p.mul_(x).sum(-1),
        )
        self.peak = peak

    def partials(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(peak, total, first, chosen) of everything added, as in `row_partials`."""
        return self.peak, self.total, self.first, self.chosen


def block_columns(z: Tensor) -> int:
    """Columns summed at once: few enough for a cache, on a GPU enough to hide the launches."""
    return 32768 if z.is_cuda else 1024


def block_elements(z: Tensor) -> int:
    """Elements transformed at once, likewise."""
    return 2**26 if z.is_cuda else 2**18
