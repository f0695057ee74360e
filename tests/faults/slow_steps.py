"""A callback that lets the steps of a tiny model last as long as a signal needs to find them."""

import time

import pytorch_lightning as pl


class SlowSteps(pl.Callback):
    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        time.sleep(0.2)
