"""What the perception warm-ups share: only the audio modules learn, from a head that is dropped at the end."""

from abc import abstractmethod
from typing import Any

from torch import Tensor

from cogrl.models.audio_lm import AudioLM
from cogrl.stages.stage import Stage
from cogrl.types import ClipBatch


class WarmUp(Stage):
    """A stage that trains a randomly initialised audio tower and its projector before any language stage.

    Args:
        mask_frames: SpecAugment on the log-mels in training: up to this many frames and a quarter as many bins are
            blanked. (arXiv:1904.08779)
    """

    def __init__(self, policy: AudioLM, mask_frames: int, **shared: Any) -> None:
        super().__init__(policy, **shared)
        self.mask_frames = mask_frames

    def configure_model(self) -> None:
        super().configure_model()
        trained = [p for part in self.policy.audio_modules for p in part.parameters() if p.requires_grad]
        self.policy.model.requires_grad_(False)
        for parameter in trained:
            parameter.requires_grad_(True)

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        loss, accuracy = self.loss_and_accuracy(batch, self.mask_frames)
        self.log_dict({"train/loss": loss, "train/accuracy": accuracy}, batch_size=len(batch), prog_bar=True)
        return loss

    def validation_step(self, batch: ClipBatch, batch_idx: int) -> None:
        loss, accuracy = self.loss_and_accuracy(batch, mask_frames=0)
        self.means.add("val/loss", loss, batch.count)
        self.means.add("val/accuracy", accuracy, batch.count)

    @abstractmethod
    def loss_and_accuracy(self, batch: ClipBatch, mask_frames: int) -> tuple[Tensor, Tensor]:
        """The loss of a batch and the share that is right, with up to `mask_frames` blanked."""
