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

    Real speech with the same sounds and lengths. The other clips' emotions are spread evenly over the labels, so that
    a listener is at chance whatever it hears well.
    """
    return [clips[i].waveform for i in derangement([clip.example.emotion for clip in clips])]


CONTROLS: dict[str, Hearing] = {"transcript": transcript, "silence": silence, "shuffled": shuffled}


def derangement(labels: Sequence[str], seed: int = 0) -> list[int]:
    """For every item the index of another one, each used once; items of one label get all labels in proportion.

    Random but for that, and fixed by `seed`. Raises ValueError for a single item, which has no other.
    """
    if len(labels) < 2:
        raise ValueError(f"the shuffled-audio control needs at least 2 clips, got {len(labels)}; test on more clips")
    rng, members = random.Random(seed), {label: [] for label in labels}
    for i in rng.sample(range(len(labels)), len(labels)):
        members[labels[i]].append(i)
    order = [i for rows in members.values() for i in rows]  # label by label
    spread = {  # every label evenly from 0 to 1, by other members than those in `order`
        i: (rank + rng.random()) / len(rows)
        for rows in members.values()
        for rank, i in enumerate(rng.sample(rows, len(rows)))
    }
    other = dict(zip(order, sorted(order, key=spread.__getitem__), strict=True))
    for place, i in enumerate(order):
        if other[i] == i:  # swapped with a neighbour, where there is one of the same label
            j = order[place - 1] if place and labels[order[place - 1]] == labels[i] else order[(place + 1) % len(order)]
            other[i], other[j] = other[j], other[i]
    return [other[i] for i in range(len(labels))]
