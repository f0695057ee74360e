"""Clips longer than an encoder's window: cut into windows for the encoder, their frames put together again.

Nothing is left out, and all windows of a batch go through the encoder at once, however many a clip has.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence


class Windows(NamedTuple):
    """The log-mels of `w` windows, which of them are real, and the place of the clip that each belongs to."""

    features: Float[Tensor, "w m n"]
    real: Bool[Tensor, "w n"]
    clip: Int[Tensor, " w"]


def windows_of(audio: Mapping[str, Tensor], window: int) -> Windows:
    """Every `window` mels of each clip in which something is real, clip by clip; shorter where all clips are."""
    features, real = audio["input_features"], audio["feature_attention_mask"].bool()
    if features.shape[-1] <= window:
        return Windows(features, real, torch.arange(len(features), device=features.device))
    missing = -features.shape[-1] % window
    features = pad(features, (0, missing)).unflatten(-1, (-1, window)).movedim(-2, 1)
    real = pad(real, (0, missing)).unflatten(-1, (-1, window))
    there = real.any(-1)
    return Windows(features[there], real[there], there.nonzero()[:, 0])


def whole_clips(
    frames: Float[Tensor, "w f d"], counts: Int[Tensor, " w"], clip: Int[Tensor, " w"], clips: int
) -> tuple[Float[Tensor, "c g d"], Int[Tensor, " c"]]:
    """The frames of each clip, those of its windows one behind another, right-padded, and how many are real."""
    if len(clip) == clips:
        return frames, counts
    real = torch.arange(frames.shape[1], device=frames.device) < counts[:, None]
    own = torch.zeros(clips, dtype=counts.dtype, device=counts.device).index_add(0, clip, counts)
    return pad_sequence(frames[real].split(own.tolist()), batch_first=True), own


def side_by_side(windows: Tensor, counts: Sequence[int]) -> Tensor:
    """Tensors of windows as those of clips, of which each has so many: along the last axis, zeros behind the last."""
    clips = [torch.cat(list(clip), -1).movedim(-1, 0) for clip in windows.split(list(counts))]
    return pad_sequence(clips, batch_first=True).movedim(1, -1)
