"""Training of the embedded emotion encoder: emotion and dimensions of labelled clips, all features in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from cogrl.models.emotion_mel import MelEmotion, padded
from cogrl.progress import progress
from cogrl.types import EMOTIONS, Clip, Example


@dataclass(frozen=True)
class EncoderRecipe:
    """AdamW with a cosine to 0, and the augmentation of each clip in every epoch.

    Args:
        shift_bins: the log-mels are shifted up or down by up to this many bands, as another vocal-tract length would.
        gain: loudness and tilt change by up to this much (in units of the log-mels: 1 = 40 dB).
        mask_frames, mask_bins: one stretch of each is blanked. (SpecAugment, arXiv:1904.08779)
    """

    epochs: int = 30
    batch_size: int = 32
    lr: float = 2e-3
    weight_decay: float = 0.05
    shift_bins: int = 5
    gain: float = 0.1
    mask_frames: int = 48
    mask_bins: int = 16
    seed: int = 0


def train_encoder(clips: Sequence[Clip], recipe: EncoderRecipe = EncoderRecipe()) -> MelEmotion:
    """A fresh `MelEmotion` fitted to `clips`: cross-entropy of the emotion plus squared error of the dimensions.

    The same clips and recipe give the same weights. Raises ValueError, naming the line, for a clip without labels.
    """
    labels, targets = labels_of([clip.example for clip in clips])
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        encoder = MelEmotion()
        mels = [encoder.mels(clip.waveform) for clip in clips]
        steps = recipe.epochs * -(-len(clips) // recipe.batch_size)
        optimizer = torch.optim.AdamW(encoder.parameters(), recipe.lr, weight_decay=recipe.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        bar = progress(range(recipe.epochs), desc="emotion encoder", unit="epoch")
        for _ in bar:
            for rows in torch.randperm(len(clips)).split(recipe.batch_size):
                frames, lengths = padded([disturbed(mels[i], recipe) for i in rows.tolist()])
                embedding = encoder.embed(frames, lengths)
                loss = cross_entropy(encoder.emotion_head(embedding), labels[rows])
                loss = loss + mse_loss(encoder.dimensions(embedding), targets[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    return encoder.eval()


def disturbed(mels: Float[Tensor, "f bins"], recipe: EncoderRecipe) -> Float[Tensor, "f bins"]:
    """The clip with a random shift, gain and tilt, and masked frames and bins."""
    f, bins = mels.shape
    shift = int(torch.randint(-recipe.shift_bins, recipe.shift_bins + 1, ()))
    mels = mels[:, (torch.arange(bins) - shift).clamp(0, bins - 1)]
    level, tilt = recipe.gain * (2 * torch.rand(2) - 1)
    mels = mels + level + tilt * torch.linspace(-1, 1, bins)
    blank = mels.mean()
    for axis, size, widest in ((0, f, recipe.mask_frames), (1, bins, recipe.mask_bins)):
        width = int(torch.randint(0, min(widest, size // 2) + 1, ()))
        start = int(torch.randint(0, size - width + 1, ()))
        mels.narrow(axis, start, width).fill_(blank)
    return mels


def labels_of(examples: Sequence[Example]) -> tuple[Int[Tensor, " c"], Float[Tensor, "c 3"]]:
    """Emotion numbers and dimensions. Raises ValueError for the first line that lacks one."""
    for example in examples:
        if example.emotion is None or example.dimensions is None:
            raise ValueError(
                f"{example.where} ({example.id}): the emotion encoder learns from emotion, valence, arousal and "
                "dominance; add them to this line or leave it out"
            )
    emotions = torch.tensor([EMOTIONS.index(example.emotion) for example in examples])
    return emotions, torch.tensor([example.dimensions for example in examples])
