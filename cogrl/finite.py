"""Checks that tensors are finite: of weights when they are read, updated, saved and exported."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm


def held(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor: its shard, where a strategy shards weights (FSDP2, ZeRO stage 3)."""
    if isinstance(tensor, DTensor):
        return tensor.to_local()
    return getattr(tensor, "ds_tensor", tensor)


def all_finite(tensors: Sequence[Tensor]) -> bool:
    """Whether no floating tensor holds a NaN or an infinity; one device synchronisation, however many there are."""
    floating = [tensor.detach() for tensor in tensors if tensor.is_floating_point() and tensor.numel()]
    return not floating or bool(get_total_norm(floating, norm_type=float("inf")).isfinite())


def not_finite(named: Iterable[tuple[str, Tensor]]) -> str | None:
    """The first tensor that holds a NaN or an infinity, and how many; None when all are finite."""
    named = [(name, held(tensor)) for name, tensor in named]
    if all_finite([tensor for _, tensor in named]):
        return None
    for name, tensor in named:
        wrong = int((~torch.isfinite(tensor)).sum())
        if wrong:
            return f"{name} ({wrong} of {tensor.numel()} values are NaN or infinite)"
    return None
