"""The one checkpoint a run needs to go on: `checkpoints/last.ckpt`."""

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint


class LastCheckpoint(ModelCheckpoint):
    """Written every N steps, at the end, on Ctrl-C, on SIGTERM and on an exception; always the same file, atomically.

    It resumes the same run and nothing else: the next stage takes the Hugging Face folder in `export`.

    Args:
        every_n_steps: optimiser steps between two writes; 0 = only at the end or when training is interrupted.
    """

    def __init__(self, every_n_steps: int = 100) -> None:
        if every_n_steps < 0:
            raise ValueError(f"checkpoint.every_n_steps={every_n_steps} must be at least 0")
        super().__init__(
            filename=self.CHECKPOINT_NAME_LAST,
            every_n_train_steps=every_n_steps,
            save_top_k=1,
            save_on_exception=True,
            enable_version_counter=False,
        )

    @property
    def state_key(self) -> str:
        return type(self).__name__

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.dirpath = str(Path(trainer.default_root_dir).absolute() / "checkpoints")
        super().setup(trainer, pl_module, stage)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))
