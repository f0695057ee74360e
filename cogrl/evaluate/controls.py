"""What a policy hears: the clip itself, or a control that takes the emotion away and keeps the label.

A hearing maps the clips of a manifest to what is given to the model, one waveform (or transcript) for each clip.
"""

import random
from collections.abc import Callable, Sequence

import numpy as np

from cogrl.audio import to_samples
from cogrl.types import Clip

Hearing = Callable[[Sequence[Clip], int], list[np.ndarray | str]]
"""The clips and the sampling rate in Hz -> what the model hears in place of each."""


def voice(clips: Sequence[Clip], sampling_rate: int) -> list[np.ndarray | str]:
    """The clips themselves."""
    return [clip.waveform for clip in clips]


def transcript(clips: Sequence[Clip], sampling_rate: int) -> list[np.ndarray | str]:
    """Text-only control: the words in the prompt, no audio. Same words for all emotions, so chance by construction."""
    return [clip.example.text for clip in clips]


def silence(clips: Sequence[Clip], sampling_rate: int) -> list[np.ndarray | str]:
    """Silence control: two seconds of zeros for every clip, so that not even the duration tells."""
    return [np.zeros(to_samples(2.0, sampling_rate), dtype=np.float32) for _ in clips]


def shuffled(clips: Sequence[Clip], sampling_rate: int) -> list[np.ndarray | str]:
    """Shuffled-audio control: every clip keeps its label and gets the audio of another clip of the manifest.

    Real speech with the same sounds and lengths, so it also shows what guessing by the manifest's label counts earns.
    """
    return [clips[i].waveform for i in derangement(len(clips))]


CONTROLS: dict[str, Hearing] = {"transcript": transcript, "silence": silence, "shuffled": shuffled}


def derangement(n: int, seed: int = 0) -> list[int]:
    """A permutation of `range(n)` that leaves nothing in place: one random cycle (Sattolo 1986), fixed by `seed`.

    Raises ValueError for n = 1, which has none.
    """
    if n == 1:
        raise ValueError("the shuffled-audio control needs at least 2 clips, got 1; test on more clips")
    order, rng = list(range(n)), random.Random(seed)
    for last in range(n - 1, 0, -1):
        other = rng.randrange(last)
        order[last], order[other] = order[other], order[last]
    return order
