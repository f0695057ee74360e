"""Checks that tensors are finite: of weights when they are read, updated, saved and exported."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm


def all_finite(tensors: Sequence[Tensor]) -> bool:
    """Whether no floating tensor holds a NaN or an infinity; one device synchronisation, however many there are."""
    floating = [tensor.detach() for tensor in tensors if tensor.is_floating_point() and tensor.numel()]
    return not floating or bool(get_total_norm(floating, norm_type=float("inf")).isfinite())


def not_finite(named: Iterable[tuple[str, Tensor]]) -> str | None:
    """The first tensor that holds a NaN or an infinity, and how many; None when all are finite."""
    named = list(named)
    if all_finite([tensor for _, tensor in named]):
        return None
    for name, tensor in named:
        wrong = int((~torch.isfinite(tensor)).sum())
        if wrong:
            return f"{name} ({wrong} of {tensor.numel()} values are NaN or infinite)"
    return None
