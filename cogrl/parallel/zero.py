"""DeepSpeed's ZeRO as a Lightning strategy. (arXiv:1910.02054)"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.strategies import DDPStrategy, DeepSpeedStrategy
from pytorch_lightning.utilities.enums import GradClipAlgorithmType
from torch import Tensor, nn

from cogrl.parallel.hooks import hooks_aside
from cogrl.parallel.host_memory import refuse_small_host


class ZeroStrategy(DeepSpeedStrategy):
    """Optimiser state (stage 1), gradients (2) and weights (3) are shards, one on each rank; on GPUs, or on CPUs.

    Needs `pip install 'cogrl[deepspeed]'`. Weights in float32 train as under DDP, up to rounding; with `bf16-mixed`
    DeepSpeed keeps them in bfloat16 besides a float32 copy of what is trained.

    Args:
        stage: 1, 2 or 3.
        offload_optimizer: optimiser state in the memory of the host (AdamW then runs there).
        offload_parameters: weights in the memory of the host, stage 3 alone.
        persistence_threshold: tensors of at most so many elements stay whole, stage 3 alone; None: DeepSpeed's own.
        config: everything else, as DeepSpeed spells it; laid over what is made of the above.

    Raises ValueError for an offload that the stage does not have.
    """

    def __init__(
        self,
        stage: Literal[1, 2, 3] = 2,
        offload_optimizer: bool = False,
        offload_parameters: bool = False,
        persistence_threshold: int | None = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        if stage < 3 and (offload_parameters or persistence_threshold is not None):
            raise ValueError(
                f"strategy: offload_parameters and persistence_threshold are of stage 3, which shards weights; with "
                f"stage={stage} every rank holds them whole: leave both out, or set stage: 3"
            )
        super().__init__(
            stage=stage,
            offload_optimizer=offload_optimizer,
            offload_parameters=offload_parameters,
            logging_batch_size_per_gpu=1,  # for DeepSpeed's log, which can not ask our loader
        )
        self.stage, self.offloads = stage, (offload_optimizer, offload_parameters)
        own: dict[str, Any] = {"zero_force_ds_cpu_optimizer": False}  # the stage's AdamW is torch's
        if persistence_threshold is not None:
            own["zero_optimization"] = {"stage3_param_persistence_threshold": persistence_threshold}
        self.config = OmegaConf.to_container(OmegaConf.merge(self.config, own, config or {}))
        self._whole = False

    @property
    def name(self) -> str:
        """What a checkpoint notes: shards of one kind are of no use to another."""
        return f"zero{self.stage}"

    def setup_environment(self) -> None:
        if not isinstance(self.accelerator, CPUAccelerator):
            super().setup_environment()
            return
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # read when deepspeed is imported; the host may have GPUs
        import deepspeed

        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # needs a compiler and a minute; gloo does it
        self.parallel_devices = [torch.device("cpu", i) for i in range(len(self.parallel_devices or [None]))]
        DDPStrategy.setup_environment(self)

    def setup(self, trainer: pl.Trainer) -> None:
        """Raises ValueError for an offload that the memory of this host does not hold, and for clipping by value."""
        if trainer.gradient_clip_val and trainer.gradient_clip_algorithm == GradClipAlgorithmType.VALUE:
            raise ValueError(
                "trainer.gradient_clip_algorithm: value is not to be had under ZeRO, whose gradients are shards; use "
                "norm, or configs/trainer/fsdp.yaml"
            )
        if any(self.offloads):
            refuse_small_host(self.lightning_module, self.num_processes, self.world_size, *self.offloads)
        super().setup(trainer)

    @contextmanager
    def model_sharded_context(self) -> Iterator[None]:
        """Models of transformers shard themselves while they are read, as long as this setting is alive."""
        self._init_config_if_needed()
        if self.stage < 3:
            yield
            return
        from transformers.integrations import HfDeepSpeedConfig

        sharding = HfDeepSpeedConfig(self.config)
        yield
        del sharding  # a reference is read later, by each rank whole
        for part in self.lightning_module.modules():
            keep_used_conversions(part)

    def backward(self, closure_loss: Tensor, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        """Lightning has divided the loss by the number of micro-batches; the engine is not to divide once more."""
        super().backward(closure_loss, optimizer, *args, scale_wrt_gas=False, **kwargs)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> Any:
        """Raises FloatingPointError, on all ranks, when the gradient of the step that was taken was not finite.

        DeepSpeed reduces gradients while it steps, so that none can be looked at before.
        """
        result = super().optimizer_step(*args, **kwargs)
        norm = self.deepspeed_engine.get_global_grad_norm()
        if norm is not None and not math.isfinite(float(norm)):
            raise FloatingPointError(
                f"the gradient of optimiser step {self.lightning_module.global_step + 1} has norm {float(norm)}; the "
                "last checkpoint is as it was, go on from it with --ckpt_path last; when this comes again, lower "
                "optim.lr, set trainer.gradient_clip_val, or look for what is wrong with the clips of this step"
            )
        return result

    @contextmanager
    def whole(self, module: nn.Module) -> Iterator[None]:
        """Inside, this rank has all weights of `module`, and may run it as often as it likes without the others.

        Collective: all ranks enter. Within another `whole` it does nothing.
        """
        params = [] if self._whole else [p for p in module.parameters() if hasattr(p, "ds_id")]
        if not params:
            yield
            return
        import deepspeed

        optimizer = self.deepspeed_engine.optimizer  # in test and predict it is the sharding itself
        getattr(optimizer, "parameter_offload", optimizer).partition_all_parameters()  # some may be on their way
        self._whole = True
        try:
            with deepspeed.zero.GatheredParameters(params), hooks_aside(module):
                yield
        finally:
            self._whole = False

    @property
    def together(self) -> bool:
        return self.stage == 3

    def any_rank(self, here: bool) -> bool:
        """Whether it holds on any rank: weights are gathered for a module by all ranks together (stage 3)."""
        return here if self._whole or not self.together else self.reduce_boolean_decision(here, all=False)


def keep_used_conversions(model: nn.Module) -> None:
    """Of the renamings of weights that transformers knows for a class, those that its folder needed.

    Its reader for ZeRO-3 keeps all of them, and the model would be saved under other names than it was read from.
    """
    conversions = getattr(model, "_weight_conversions", None)
    if conversions:
        model._weight_conversions = [conversion for conversion in conversions if conversion.was_used()]
