"""A loss whose gradients were made in the forward pass."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def with_gradients(loss: Tensor, grads: Sequence[Tensor | None], leaves: Sequence[Tensor | None]) -> Tensor:
    """`loss` with `grads` as its gradients with respect to `leaves` (None: takes none), scaled by the upstream one.

    Backward may run several times; it can not be differentiated again.
    """
    return _WithGradients.apply(loss, *grads, *leaves)


class _WithGradients(torch.autograd.Function):
    @staticmethod
    def forward(ctx, loss, *grads_and_leaves):
        half = len(grads_and_leaves) // 2
        ctx.save_for_backward(*grads_and_leaves[:half])
        ctx.dtypes = [None if x is None else x.dtype for x in grads_and_leaves[half:]]
        return loss.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream):
        grads = [
            None if grad is None else (grad * upstream).to(dtype)
            for grad, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return None, *(None for _ in grads), *grads
