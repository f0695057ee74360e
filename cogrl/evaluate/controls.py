"""What a policy hears: the clip itself, or a control that takes the emotion away and keeps the label.

A condition maps the clips of a manifest to the inputs of the model, one waveform (or transcript) for each clip; of a
dialogue, one for each of its turns.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256

import numpy as np
from scipy.signal import resample_poly

from cogrl.audio import to_samples
from cogrl.model_input import audio_input, text_input
from cogrl.types import Clip, Conversation, ModelInput

Condition = Callable[[Sequence[Clip], int], list[ModelInput]]
"""The clips and the sampling rate in Hz -> the model's input for each clip."""


def voice(clips: Sequence[Clip], sampling_rate: int) -> list[ModelInput]:
    """The clips themselves."""
    return [audio_input(clip) for clip in clips]


def transcript(clips: Sequence[Clip], sampling_rate: int) -> list[ModelInput]:
    """Text-only control: the words in the prompt, no audio. Same words for all emotions, so chance by construction."""
    return [text_input(clip) for clip in clips]


def silence(clips: Sequence[Clip], sampling_rate: int) -> list[ModelInput]:
    """Silence control: two seconds of zeros for every turn that is heard, so that not even the duration depends on the
    clip."""
    nothing = np.zeros(to_samples(2.0, sampling_rate), dtype=np.float32)

    def hushed(clip: Clip) -> Clip:
        return replace(clip, waveform=nothing, history=tuple(None if h is None else nothing for h in clip.history))

    return [audio_input(hushed(clip)) for clip in clips]


def another_voice(clips: Sequence[Clip], sampling_rate: int) -> list[ModelInput]:
    """The same words in another voice: played a ninth faster, so that pitch and formants lie two semitones higher.

    No control of a report: an answer about the words should not change, for a reward that compares.
    """
    faster = lambda waveform: None if waveform is None else resample_poly(waveform, 8, 9).astype(np.float32)
    moved = [replace(c, waveform=faster(c.waveform), history=tuple(map(faster, c.history))) for c in clips]
    return [audio_input(clip) for clip in moved]


def shuffled(clips: Sequence[Clip], sampling_rate: int) -> list[ModelInput]:
    """Shuffled-audio control: every clip keeps its label and gets the audio of another clip of the manifest.

    Real speech with the same sounds and lengths, of a dialogue all of it: an earlier turn may carry the emotion too.
    The other clips' emotions are spread evenly over the labels, so that a policy that hears perfectly is at chance.
    """
    return [audio_input(clips[i]) for i in derangement([clip.example.emotion for clip in clips])]


def sound(given: ModelInput) -> tuple[str | bytes | None, ...]:
    """A key that is equal for equal inputs of the model: of waveforms their SHA-256, so that no clip is held twice."""
    parts = (*given.turns, *given.replies) if isinstance(given, Conversation) else (given,)
    return tuple(sha256(part.tobytes()).digest() if isinstance(part, np.ndarray) else part for part in parts)


CONTROLS: dict[str, Condition] = {"transcript": transcript, "silence": silence, "shuffled": shuffled}


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
