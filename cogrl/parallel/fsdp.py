"""PyTorch's fully sharded data parallelism (FSDP2) as a Lightning strategy. (arXiv:2304.11277)"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytorch_lightning as pl
from pytorch_lightning.strategies import ModelParallelStrategy
from torch import nn

from cogrl.parallel.hooks import hooks_aside

_STEPS = ("training_step", "validation_step", "test_step", "predict_step")


class FsdpStrategy(ModelParallelStrategy):
    """Weights, gradients and optimiser state are shards, one on each rank, layer by layer; on GPUs, or on CPUs.

    A checkpoint is one file with all of it, as DDP writes it.
    """

    def __init__(self) -> None:
        super().__init__(data_parallel_size="auto", tensor_parallel_size=1, save_distributed_checkpoint=False)
        self._whole = False

    @property
    def name(self) -> str:
        """What a checkpoint notes."""
        return "fsdp"

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def setup(self, trainer: pl.Trainer) -> None:
        """Shards the layers, the largest parts that run as a whole, then what is left of the stage."""
        from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

        mesh = self.device_mesh["data_parallel"]
        for layer in layers_of(self.lightning_module):
            fully_shard(layer, mesh=mesh)
        fully_shard(self.lightning_module, mesh=mesh)
        for step in _STEPS:
            register_fsdp_forward_method(self.lightning_module, step)
        super().setup(trainer)

    @contextmanager
    def whole(self, module: nn.Module) -> Iterator[None]:
        """Inside, this rank has all weights of `module`, and may run it as often as it likes without the others.

        Collective: all ranks enter. Within another `whole` it does nothing.
        """
        if self._whole:
            yield
            return
        from torch.distributed.fsdp import FSDPModule

        self.lightning_module.unshard()  # stays so: within a step the rest of it needs these weights
        self._whole = True
        with ExitStack() as after:
            for part in module.modules():
                if isinstance(part, FSDPModule):
                    part.unshard()
                    after.callback(part.reshard)
            after.enter_context(hooks_aside(module))
            try:
                yield
            finally:
                self._whole = False

    @property
    def together(self) -> bool:
        return True

    def any_rank(self, here: bool) -> bool:
        """Whether it holds on any rank: weights are gathered for a layer by all ranks together."""
        return here if self._whole else self.reduce_boolean_decision(here, all=False)


def layers_of(module: nn.Module) -> list[nn.Module]:
    """The layers of every decoder and tower in `module`, what transformers keeps on one device; inner ones first."""
    names = {name for part in module.modules() for name in getattr(part, "_no_split_modules", None) or ()}
    return [part for part in reversed(list(module.modules())) if type(part).__name__ in names]
