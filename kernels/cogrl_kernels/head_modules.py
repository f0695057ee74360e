"""Which module holds the scoring and the row operations of a head, by the name of the implementation."""

from types import ModuleType

import torch
from torch import Tensor

from cogrl_kernels import head_chunks, row_ops


def scoring(impl: str) -> ModuleType:
    """The module whose `score` and `score_partials` reduce a head to four numbers a row."""
    if impl != "triton":
        return head_chunks
    from cogrl_kernels import linear_logprob_triton

    return linear_logprob_triton


def best_scoring(impl: str, hidden: Tensor, weight: Tensor) -> ModuleType:
    """That module, the kernel only where it pays."""
    return scoring(impl if both_half(hidden, weight) else "chunked")


def rows_of(impl: str) -> ModuleType:
    """The module whose `row_stats`, `row_partials` and `row_grad_` work on logits."""
    if impl != "triton":
        return row_ops
    from cogrl_kernels import row_ops_triton

    return row_ops_triton


def both_half(hidden: Tensor, weight: Tensor, autocast: torch.dtype | None = None) -> bool:
    """Whether the scoring kernel pays: it multiplies float32 without rounding, slower than a library's product."""
    dtypes = {torch.float64 if torch.float64 == x.dtype else autocast or x.dtype for x in (hidden, weight)}
    return len(dtypes) == 1 and dtypes.pop().itemsize == 2
