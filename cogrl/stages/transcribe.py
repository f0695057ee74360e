"""Transcription warm-up: trains a randomly initialised audio tower on who says which words, before any language stage."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import ctc_loss

from cogrl.models.audio_lm import AudioLM
from cogrl.stages.perceive import blank, train_audio_modules_only
from cogrl.stages.stage import Stage
from cogrl.types import ClipBatch, Example


class Transcribe(Stage):
    """Speakers and their words in order, from the frames that enter the language model, by connectionist temporal
    classification. (Graves et al. 2006, doi:10.1145/1143844.1143891)

    Not one of the published stages: like `Perceive` it replaces the pretraining that the tower of a tiny random model
    has not had, of words where that one is of emotion. The labels are the words and speakers of the training lines, so
    it is for small vocabularies. Only the audio tower and its projector learn; the head is dropped at the end.

    Args:
        mask_frames: SpecAugment, as of `Perceive`.
    """

    def __init__(self, policy: AudioLM, mask_frames: int = 16, **shared: Any) -> None:
        super().__init__(policy, **shared)
        self.mask_frames = mask_frames
        self.vocabulary: dict[str, int] = {}

    def configure_model(self) -> None:
        super().configure_model()
        train_audio_modules_only(self.policy)
        known = sorted({label for example in self.examples("train") for label in labels(example)})
        self.vocabulary = {label: number for number, label in enumerate(known, start=1)}  # 0 is the blank
        self.head = nn.Linear(self.policy.head.weight.shape[1], len(known) + 1)

    def validate(self, example: Example) -> str | None:
        if example.turns:
            return "takes single clips and no earlier turns; set data.history: left_out"
        mine = labels(example)
        if not mine:
            return "no text, which is what this stage teaches; add it to this line or leave the line out"
        unknown = [label for label in mine if label not in self.vocabulary]
        if unknown:
            return f"says {unknown[0]!r}, which no training line does; leave the line out of data.val"
        return self.audio_length_error(example)  # no answer is asked for, so it needs no positions

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        loss = self.loss(batch, self.mask_frames)
        self.log("train/loss", loss, batch_size=len(batch), prog_bar=True)
        return loss

    def validation_step(self, batch: ClipBatch, batch_idx: int) -> None:
        self.means.add("val/loss", self.loss(batch, mask_frames=0), batch.count)

    def loss(self, batch: ClipBatch, mask_frames: int) -> Tensor:
        """The mean over clips of the negative log-probability of the labels, by their number.

        Raises ValueError for a clip that has fewer frames than its labels need.
        """
        audio = {k: v.to(self.device) for k, v in self.policy.audio_tensors([c.waveform for c in batch.clips]).items()}
        audio["input_features"] = blank(audio["input_features"], mask_frames)
        frames, lengths = self.policy.audio_embeds(audio)
        numbers = [[self.vocabulary[label] for label in labels(clip.example)] for clip in batch.clips]
        for clip, mine, frame_count in zip(batch.clips, numbers, lengths.tolist(), strict=True):
            needed = len(mine) + sum(one == other for one, other in zip(mine, mine[1:], strict=False))
            if frame_count < needed:
                raise ValueError(
                    f"{clip.example.where} ({clip.example.id}): {frame_count} frames for {needed} words; its text is "
                    "too long for its clip, correct the line or leave it out"
                )
        logprobs = self.head(frames.to(self.head.weight.dtype)).float().log_softmax(-1).transpose(0, 1)
        targets = torch.tensor([number for mine in numbers for number in mine], device=self.device)
        counts = torch.tensor([len(mine) for mine in numbers], device=self.device)
        return ctc_loss(logprobs, targets, lengths, counts)


def labels(example: Example) -> list[str]:
    """Of each turn the speaker and the words; of a line without turns the words of its text."""
    if not example.speech:
        return example.text.lower().split()
    return [label for turn in example.speech for label in (f"{turn.speaker}:", *turn.text.lower().split())]
