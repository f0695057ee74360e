"""Which share of weights, gradients and optimiser state each rank holds under a strategy, known before it is set up."""

from dataclasses import dataclass
from typing import Any

from pytorch_lightning.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy, Strategy


@dataclass(frozen=True)
class Shares:
    """Shares in (0, 1]; `master`: the optimiser keeps a float32 copy of what trains, besides its two moments.

    `optimizer_on_host` and `weights_on_host` are what an offload puts into the memory of the host.
    """

    weights: float = 1.0
    gradients: float = 1.0
    optimizer: float = 1.0
    master: bool = False
    optimizer_on_host: bool = False
    weights_on_host: bool = False


def shares_of(strategy: Strategy, ranks: int) -> Shares:
    """The shares of a strategy over so many ranks; DDP and single devices shard nothing. (ZeRO: arXiv:1910.02054)"""
    if isinstance(strategy, (FSDPStrategy, ModelParallelStrategy)):
        return Shares(1 / ranks, 1 / ranks, 1 / ranks)
    if not isinstance(strategy, DeepSpeedStrategy):
        return Shares()
    zero: dict[str, Any] = (strategy.config or {}).get("zero_optimization", {})
    stage = zero.get("stage", 0)
    return Shares(
        weights=1 / ranks if stage >= 3 else 1.0,
        gradients=1 / ranks if stage >= 2 else 1.0,
        optimizer=1 / ranks if stage >= 1 else 1.0,
        master=True,
        optimizer_on_host="offload_optimizer" in zero,
        weights_on_host="offload_param" in zero,
    )
