"""What a stage asks of a strategy that shards weights."""

from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from pytorch_lightning.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy, Strategy
from torch import nn

from cogrl.models.audio_lm import AudioLM
from cogrl.models.four_bit import refuse_no_four_bit


@runtime_checkable
class Sharding(Protocol):
    """Implemented by the strategies of `cogrl.parallel`."""

    @property
    def together(self) -> bool:
        """Whether a rank has its shards of the weights alone, so that all ranks run every module together."""

    def whole(self, module: nn.Module) -> AbstractContextManager[None]:
        """Inside, this rank has all weights of `module`. Collective: all ranks enter."""

    def any_rank(self, here: bool) -> bool:
        """Whether it holds on any rank, where ranks must keep in step; else whether it holds here."""


def refuse_plain_sharding(strategy: Strategy) -> None:
    """ValueError for a strategy that shards weights and can not make them whole for a rollout or an export."""
    sharded = isinstance(strategy, DeepSpeedStrategy | FSDPStrategy | ModelParallelStrategy)
    if sharded and not isinstance(strategy, Sharding):
        raise ValueError(
            f"trainer.strategy is Lightning's {type(strategy).__name__}, under which rollouts and exports would have "
            "shards of weights; use --config configs/trainer/zero1.yaml, zero2.yaml, zero3.yaml, zero3_offload.yaml or "
            "fsdp.yaml (docs/scaling.md), whose strategies are cogrl's own"
        )


def refuse_four_bit(module: nn.Module, strategy: Strategy) -> None:
    """ValueError for policies in `module` with weights in 4 bits under a strategy that shards weights, or on a device
    without kernels for them; ModuleNotFoundError without the package for them."""
    if not any(isinstance(part, AudioLM) and part.load_in_4bit for part in module.modules()):
        return
    if isinstance(strategy, Sharding) and strategy.together:
        raise ValueError(
            f"policy.load_in_4bit: {type(strategy).__name__} shards weights, and those in 4 bits can not be cut; use "
            "DDP, configs/trainer/zero1.yaml or zero2.yaml, under which each rank holds them whole"
        )
    refuse_no_four_bit(strategy.root_device)
