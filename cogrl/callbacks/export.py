"""What a stage hands to the next one: a Hugging Face folder, with what its controllers have learned."""

from pathlib import Path

import pytorch_lightning as pl

from cogrl.atomic import atomic_write
from cogrl.callbacks.checkpoint_io import free_space
from cogrl.callbacks.mlflow_logger import MLflowLogger
from cogrl.finite import not_finite


class Export(pl.Callback):
    """Writes the policy to `run_dir/export` when training has ended well; the folder is complete or absent.

    Args:
        enabled: False leaves only the Lightning checkpoint.
        to_mlflow: keep a copy with the MLflow run; turn it off for weights too large to copy.
    """

    def __init__(self, enabled: bool = True, to_mlflow: bool = True) -> None:
        self.enabled, self.to_mlflow = enabled, to_mlflow

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.enabled or trainer.fast_dev_run:
            return
        broken = not_finite(pl_module.policy.named_parameters())
        if trainer.strategy.reduce_boolean_decision(broken is not None, all=False):
            raise FloatingPointError(f"no export: the weights are not finite, {broken or 'on another rank'}")
        folder = Path(trainer.default_root_dir) / "export"
        with pl_module.whole():
            if trainer.is_global_zero:
                self.write(folder, pl_module)
        trainer.strategy.barrier("export written")
        if not trainer.is_global_zero:
            return
        print(f"policy written to {folder}")
        for logger in trainer.loggers:
            if self.to_mlflow and isinstance(logger, MLflowLogger):
                logger.log_file(folder)

    def write(self, folder: Path, pl_module: pl.LightningModule) -> None:
        """Raises OSError when the disk does not take it."""
        try:
            with atomic_write(folder, exclusive=True) as unfinished:
                pl_module.policy.save(unfinished)
                for controller in pl_module.controllers:
                    controller.save(unfinished)
        except Exception as error:  # safetensors has an error of its own for a full disk
            raise OSError(
                f"the policy can not be written to {folder} ({error}; {free_space(folder.parent)}); make room there, "
                "and --ckpt_path last writes it again"
            ) from error
