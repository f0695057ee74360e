"""Operators of a loss whose gradients are made in the forward pass, so that backward only multiplies.

Such an operator of `torch.library` takes its leaves first. It returns the loss first and the gradients of the leaves
last, an empty tensor where none is wanted. Whether an input requires a gradient is not visible inside an operator:
the caller says so, with `takes_gradient`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.library import CustomOpDef


def takes_gradient(*leaves: Tensor | None) -> list[bool]:
    """Which of them take a gradient."""
    return [x is not None and x.requires_grad and torch.is_grad_enabled() for x in leaves]


def zero_gradients(leaves: Sequence[Tensor | None], wanted: Sequence[bool], dtype: torch.dtype) -> list[Tensor]:
    """Room for the gradients: zeros in the shape of their leaf, (0,) where not wanted."""
    nothing = next(x for x in leaves if x is not None)
    return [
        torch.zeros_like(x, dtype=dtype) if want else nothing.new_empty(0, dtype=dtype)
        for x, want in zip(leaves, wanted, strict=True)
    ]


def scaled(grad: Tensor, upstream: Tensor, dtype: torch.dtype) -> Tensor:
    """`grad * upstream` in `dtype`, rounded once and, on a GPU, without a copy in another dtype."""
    if grad.dtype == dtype:
        return grad * upstream
    return torch.mul(grad, upstream, out=torch.empty_like(grad, dtype=dtype))


def multiply_in_backward(operator: CustomOpDef, leaves: int) -> None:
    """Registers the backward of `operator`, of which the first `leaves` inputs are leaves.

    It may run several times; it can not be differentiated again. Only the loss has a gradient, no other output.
    """

    def save(ctx, inputs: tuple, output: tuple) -> None:
        grads = output[-leaves:]
        ctx.mark_non_differentiable(*output[1:])
        # otherwise backward would be handed a zero tensor for every gradient among the outputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*grads)
        ctx.dtypes = [
            x.dtype if x is not None and x.shape == grad.shape else None
            for x, grad in zip(inputs[:leaves], grads, strict=True)
        ]
        ctx.others = len(inputs) - leaves

    @once_differentiable
    def backward(ctx, upstream: Tensor | None, *_) -> tuple[Tensor | None, ...]:
        grads = [
            None if dtype is None or upstream is None else scaled(grad, upstream, dtype)
            for grad, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return *grads, *[None] * ctx.others

    operator.register_autograd(backward, setup_context=save)
