"""What the operations of a language-model head refuse: shapes, dtypes, devices and ids that do not fit."""

import torch
from torch import Tensor

from cogrl_kernels.vocab_shard import VocabShard

FLOATS = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


def check_head(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    rows: Tensor | None,
    bias: Tensor | None,
    temperature: float | Tensor,
    softcap: float | None,
    shard: VocabShard | None,
) -> None:
    """Everything that can be checked without reading a value of a tensor. Raises ValueError."""
    for name, tensor, ndim in (("hidden", hidden, 2), ("weight", weight, 2), ("bias", bias, 1)):
        if tensor is not None and (tensor.ndim != ndim or tensor.dtype not in FLOATS):
            raise ValueError(
                f"{name} is {tuple(tensor.shape)} {tensor.dtype}; it needs {ndim} axes, a float dtype of 16 to 64 bit"
            )
    for name, tensor in (("targets", targets), ("rows", rows)):
        if tensor is not None and (tensor.ndim != 1 or tensor.dtype not in (torch.int32, torch.int64)):
            raise ValueError(f"{name} is {tuple(tensor.shape)} {tensor.dtype}; it must have one axis of int32 or int64")
    if hidden.shape[1] != weight.shape[1]:
        raise ValueError(f"hidden has width {hidden.shape[1]} but weight has width {weight.shape[1]}")
    if bias is not None and len(bias) != len(weight):
        raise ValueError(f"bias has {len(bias)} entries for a vocabulary of {len(weight)}")
    states = len(hidden) if rows is None else len(rows)
    if states != len(targets):
        raise ValueError(f"{len(targets)} targets for {states} hidden rows; pass one row per target in `rows`")
    devices = {str(x.device) for x in (hidden, weight, targets, rows, bias) if x is not None}
    if len(devices) > 1:
        raise ValueError(f"inputs lie on different devices: {', '.join(sorted(devices))}")
    if isinstance(temperature, Tensor):
        if temperature.requires_grad or temperature.shape not in ((), targets.shape):
            raise ValueError(
                f"temperature is {tuple(temperature.shape)}, requires_grad={temperature.requires_grad}; a tensor must "
                f"have no axes or one value for each of {len(targets)} targets, and no gradient"
            )
    elif not temperature > 0:
        raise ValueError(f"temperature={temperature} must be positive; greedy decoding has no log-probabilities")
    if softcap is not None and not softcap > 0:
        raise ValueError(f"softcap={softcap} must be positive; None switches it off")
    if shard is not None and not 0 <= shard.start < shard.vocabulary:
        raise ValueError(f"shard.start={shard.start} lies outside the vocabulary of {shard.vocabulary}")


def check_values(hidden: Tensor, targets: Tensor, rows: Tensor | None, temperature: Tensor, vocabulary: int) -> None:
    """Ids and temperatures. Raises ValueError; on a GPU it is a device assertion, so as not to wait."""
    advice = "leave masked tokens out with `rows` instead of marking them"
    inside = (targets >= 0) & (targets < vocabulary)
    _require(inside, targets, f"targets has entries outside [0, {vocabulary}); {advice}")
    if rows is not None:
        inside = (rows >= 0) & (rows < len(hidden))
        _require(inside, rows, f"rows has entries outside [0, {len(hidden)})")
    _require(temperature > 0, temperature, "temperature has entries that are not positive")


def per_target(temperature: float | Tensor, targets: Tensor, dtype: torch.dtype) -> Tensor:
    """The temperature of every target, (m,)."""
    if isinstance(temperature, Tensor):
        return temperature.to(targets.device, dtype).expand(len(targets)).contiguous()
    return torch.full((len(targets),), temperature, dtype=dtype, device=targets.device)


def _require(fine: Tensor, values: Tensor, message: str) -> None:
    if fine.device.type != "cpu":
        torch._assert_async(fine.all(), message)
    elif not fine.all():
        raise ValueError(f"{message}; found {values[~fine][:8].tolist()}")
