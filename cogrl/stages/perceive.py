"""Perception warm-up: trains a randomly initialised audio tower on emotion labels before any language stage."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from cogrl.models.audio_lm import AudioLM
from cogrl.stages.warm_up import WarmUp
from cogrl.types import EMOTIONS, ClipBatch, Example


class Perceive(WarmUp):
    """Emotion and valence / arousal / dominance from the frames that enter the language model.

    Not one of the published stages: it replaces the pretraining that the tower of a tiny random model has not had. Only
    the audio tower and its projector learn, the projector alone where the policy freezes its tower; the head is dropped
    at the end. Skip it with pretrained weights.

    Args:
        vad_coef: weight of the dimensional regression (mean squared error, scales of [-1, 1]).
        mask_frames: SpecAugment, see `WarmUp`.
        mask_places: a blanked stretch begins at one of so many frames of 10 ms. By default those of the embedded
            model's window, so that it often lies behind a short clip, which is then read whole.
    """

    def __init__(
        self, policy: AudioLM, vad_coef: float = 1.0, mask_frames: int = 32, mask_places: int = 400, **shared: Any
    ) -> None:
        super().__init__(policy, mask_frames, **shared)
        self.vad_coef, self.mask_places = vad_coef, mask_places

    def configure_model(self) -> None:
        super().configure_model()
        self.head = nn.Linear(2 * self.policy.width, len(EMOTIONS) + 3)

    def validate(self, example: Example) -> str | None:
        if example.turns:
            return "takes single clips and no earlier turns; set data.history: left_out"
        if example.emotion is None:
            return "no emotion, which is what this stage teaches; add it to this line or leave the line out"
        missing = [name for name in ("valence", "arousal", "dominance") if getattr(example, name) is None]
        if missing and self.vad_coef:
            return f"no {missing[0]}; add it to this line or train with vad_coef: 0"
        return self.audio_length_error(example)  # no answer is asked for, so it needs no positions

    def loss_and_accuracy(self, batch: ClipBatch, mask_frames: int) -> tuple[Tensor, Tensor]:
        audio = {k: v.to(self.device) for k, v in self.policy.audio_tensors([c.waveform for c in batch.clips]).items()}
        audio["input_features"] = blank(audio["input_features"], mask_frames, self.mask_places)
        frames, lengths = self.policy.audio_embeds(audio)
        outputs = self.head(pool(frames.to(self.head.weight.dtype), lengths))
        examples = [clip.example for clip in batch.clips]
        emotion = torch.tensor([EMOTIONS.index(e.emotion) for e in examples], device=self.device)
        logits, dimensions = outputs[:, : len(EMOTIONS)], outputs[:, len(EMOTIONS) :]
        loss = cross_entropy(logits, emotion)
        if self.vad_coef:
            vad = torch.tensor([[e.valence, e.arousal, e.dominance] for e in examples], device=self.device)
            loss = loss + self.vad_coef * mse_loss(dimensions, vad)
        return loss, (logits.argmax(-1) == emotion).float().mean()


def pool(frames: Float[Tensor, "c f d"], lengths: Int[Tensor, " c"]) -> Float[Tensor, "c two_d"]:
    """Mean and standard deviation over the real frames of each clip."""
    real = (torch.arange(frames.shape[1], device=frames.device) < lengths[:, None])[..., None]
    mean = (frames * real).sum(1) / real.sum(1)
    variance = ((frames - mean[:, None]).square() * real).sum(1) / real.sum(1)
    return torch.cat([mean, (variance + 1e-5).sqrt()], 1)


def blank(mels: Float[Tensor, "c bins frames"], width: int, places: int = 0) -> Float[Tensor, "c bins frames"]:
    """One random stretch of frames and one of bins set to the clip's mean, in each clip.

    A stretch of frames begins at one of `places`, or of the batch's frames where these are more. Behind
    a clip it blanks nothing.
    """
    if width == 0:
        return mels
    for axis, limit in ((2, width), (1, max(1, width // 4))):
        size = mels.shape[axis]
        length = torch.randint(0, limit + 1, (len(mels), 1), device=mels.device)
        starts = max(size, places) if axis == 2 else size
        start = torch.randint(0, starts, (len(mels), 1), device=mels.device)
        place = torch.arange(size, device=mels.device)
        hit = (place >= start) & (place < start + length)
        hit = hit[:, None, :] if axis == 2 else hit[:, :, None]
        mels = torch.where(hit, mels.mean((1, 2), keepdim=True), mels)
    return mels
