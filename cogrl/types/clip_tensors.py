"""A family's input tensors of audio clips: picking clips out of them and putting them together."""

from collections.abc import Mapping, Sequence
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn.functional import pad

ClipTensors = Mapping[str, Tensor]
"""What `AudioLM.audio_tensors` makes of clips: tensors whose first axis is the clips; empty where there are none."""


def check_clip_counts(audio: ClipTensors, counts: Sequence[int], rows: int, what: str) -> None:
    """Raises ValueError unless `counts` has one number for each of `rows` and `audio` holds as many clips in all."""
    clips = {name: len(value) for name, value in audio.items()} or {"audio": 0}
    if len(counts) != rows or set(clips.values()) != {sum(counts)}:
        raise ValueError(f"{rows} {what} with {tuple(counts)} clips, but the tensors hold {clips}")


def clips_of_rows(counts: Sequence[int], rows: Sequence[int]) -> list[int]:
    """The places of the clips of `rows`, in that order, where row `i` has `counts[i]` clips, one row after another."""
    ends = list(accumulate(counts))
    return [clip for row in rows for clip in range(ends[row] - counts[row], ends[row])]


def pick_clips(audio: ClipTensors, clips: Sequence[int]) -> dict[str, Tensor]:
    """The clips at these places, in that order; no tensors at all when there are none."""
    return {name: value[torch.tensor(clips)] for name, value in audio.items()} if clips else {}


def join_clips(parts: Sequence[ClipTensors]) -> dict[str, Tensor]:
    """The clips of all parts, one part after another.

    A tensor whose last axis (time) differs between parts is padded there with zeros: the families mark which frames
    are real.
    """
    parts = [part for part in parts if part]
    joined = {}
    for name in parts[0] if parts else ():
        tensors = [part[name] for part in parts]
        longest = max(tensor.shape[-1] for tensor in tensors) if tensors[0].ndim > 1 else 0
        joined[name] = torch.cat([pad(t, (0, longest - t.shape[-1])) if t.ndim > 1 else t for t in tensors])
    return joined
