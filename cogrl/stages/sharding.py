"""What a stage asks of a strategy that shards weights."""

from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from torch import nn


@runtime_checkable
class Sharding(Protocol):
    """Implemented by the strategies of `cogrl.parallel`."""

    def whole(self, module: nn.Module) -> AbstractContextManager[None]:
        """Inside, this rank has all weights of `module`. Collective: all ranks enter."""

    def any_rank(self, here: bool) -> bool:
        """Whether it holds on any rank, where ranks must keep in step; else whether it holds here."""
