"""Clips that can not be read in the middle of a run: all ranks hear of them and do the same."""

from typing import Any

import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from cogrl.ranks import patiently_gathered
from cogrl.types import ClipBatch


class BrokenClips:
    """Looks at each batch of a run, on all ranks together, and counts the clips that others stand in for."""

    def __init__(self) -> None:
        self.count = 0
        self.last: ClipBatch | None = None

    def look(self, trainer: Any, batch: ClipBatch) -> None:
        """Warns of clips that others stand in for, naming file, line and id, and logs how many they are by now.

        Collective: one number a batch is summed over the ranks, none for a batch that is repeated. Raises ValueError on
        every rank where a clip of any rank's batch can not be read and no other one stands in for it.
        """
        if batch is self.last:
            return
        self.last, strategy = batch, trainer.strategy
        own = torch.tensor(float(len(batch.broken)), device=strategy.root_device)
        if not strategy.reduce(own, reduce_op="sum"):
            return
        reports = patiently_gathered((bool(batch.clips), batch.broken))
        for whole, broken in reports:
            if not whole and broken:
                raise ValueError(
                    f"{broken[0]} (it was readable when training began, or data.decode_first is false); mend it and go "
                    "on with --ckpt_path last, or let other clips stand in for such with data.broken_clips: skip"
                )
        sentences = [sentence for _, broken in reports for sentence in broken]
        self.count += len(sentences)
        for sentence in sentences:
            rank_zero_warn(f"another clip stands in for one that can not be read: {sentence}")
        for logger in trainer.loggers:
            logger.log_metrics({"data/broken_clips": self.count}, step=trainer.global_step)
