"""A callback that slows down the steps of a tiny model, so that a signal arrives within one."""

import time

import pytorch_lightning as pl


class SlowSteps(pl.Callback):
    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        time.sleep(0.2)
