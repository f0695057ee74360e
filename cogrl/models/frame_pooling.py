"""A coarse first pass: the mean of neighbouring audio frames of a prompt, while clips that are inserted stay fine.

Each clip's tensors say how many of its frames one token stands for, so that a clip is never encoded at another rate
than its placeholders were counted for.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

KEY = "first_pass_pooling"
"""Of a model's config.json: how many frames of a prompt's clip one token stands for; left out: 1."""


def checked_pooling(pooling: int) -> int:
    """Raises ValueError for what is no number of frames."""
    if isinstance(pooling, bool) or not isinstance(pooling, int) or pooling < 1:
        raise ValueError(f"{KEY}={pooling!r} must be a whole number of audio frames, 1 or more")
    return pooling


def with_pooling(audio: Mapping[str, Tensor], pooling: int) -> dict[str, Tensor]:
    """The tensors of clips, each of which says that its frames are pooled so."""
    clips = len(next(iter(audio.values())))
    return {**audio, "pooling": torch.full((clips,), pooling)}


def pooled_counts(counts: Int[Tensor, " c"], pooling: Int[Tensor, " c"] | int) -> Int[Tensor, " c"]:
    """How many tokens so many frames become; the last may stand for fewer."""
    return (counts + pooling - 1) // pooling


def pooled(
    frames: Float[Tensor, "c f d"], counts: Int[Tensor, " c"], pooling: Int[Tensor, " c"]
) -> tuple[Float[Tensor, "c g d"], Int[Tensor, " c"]]:
    """The mean of each `pooling[c]` neighbours among the `counts[c]` frames of a clip, and how many these are."""
    left = pooled_counts(counts, pooling)
    place = torch.arange(frames.shape[1], device=frames.device)
    of = (place // pooling[:, None])[:, None] == torch.arange(int(left.max()), device=frames.device)[:, None]
    of = (of & (place < counts[:, None])[:, None]).to(frames.dtype)
    return of @ frames / of.sum(2, keepdim=True).clamp(min=1), left
