"""A stop comes after an optimiser step, never between the micro-batches of one."""

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from cogrl.callbacks.stop import AgreedStop


class Counts(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight, self.micro_batches = torch.nn.Parameter(torch.zeros(1)), 0

    def training_step(self, batch, batch_idx):
        self.micro_batches += 1
        return (self.weight * batch.float()).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class AsksAfter(pl.Callback):
    """A signal reaches the process in this micro-batch."""

    def __init__(self, stop: AgreedStop, micro_batch: int) -> None:
        self.stop, self.micro_batch = stop, micro_batch

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == self.micro_batch:
            self.stop.request(15)


def test_a_step_of_several_micro_batches_is_finished_before_training_stops(tmp_path):
    stop, module = AgreedStop(), Counts()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    callbacks = [AsksAfter(stop, 5), stop]
    trainer = pl.Trainer(
        accelerator="cpu", accumulate_grad_batches=4, default_root_dir=tmp_path, callbacks=callbacks, **quiet
    )
    with pytest.raises(SystemExit):
        trainer.fit(module, DataLoader(torch.arange(40)))
    assert (trainer.global_step, module.micro_batches, stop.agreed) == (2, 8, 15)
