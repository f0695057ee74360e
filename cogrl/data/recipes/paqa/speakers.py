"""Who speaks: voices that are called by their pitch, low, middle and high, eight semitones apart."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cogrl.data.recipes.question_folder import hashed_id
from cogrl.data.synthesis import acoustics, emotions, filters
from cogrl.data.synthesis.embedded import EmbeddedSynthesiser
from cogrl.types import Waveform

F0_HZ: Mapping[str, float] = {"low": 94.0, "middle": 149.0, "high": 240.0}
"""The mean F0 of each voice; who speaks with it is moved there."""
LARGEST_OFFSET_ST = 2.5
"""How far a turn may measure off its voice: two voices are at least three of their eight semitones apart."""
_MEN = {
    "sft": ("spk02", "spk06", "spk08", "spk18"),
    "rl": ("spk04", "spk16"),
    "val": ("spk12", "spk20"),
    "test": ("spk10", "spk22", "spk24"),
}
_WOMEN = {
    "sft": ("spk01", "spk03", "spk07", "spk09", "spk13", "spk21"),
    "rl": ("spk05", "spk15"),
    "val": ("spk17",),
    "test": ("spk11", "spk19", "spk23"),
}
SPEAKERS: Mapping[str, Mapping[str, Sequence[str]]] = {
    part: {"low": men, "middle": (*men, *_WOMEN[part]), "high": _WOMEN[part]} for part, men in _MEN.items()
}
"""By part of the corpus and voice: men are low or middle, women middle or high; no two parts share a speaker.

spk14 has no part: its pitch wanders too far when it is moved this low.
"""
WORD_S = 0.33
"""The mean length of a word; every speaker is made as fast as that takes."""
_TUNED_ST, _MOST_TAKES = 0.8, 3
_HALF_OCTAVE = 2**0.5
_TUNING_WORDS = ("dragon", "kettle", "paper", "window")
_SAMPLING_RATE = 16000
Utterance = tuple[str, str, str, int]
"""(voice, speaker, word, number of the take)."""


def off_pitch_st(waveform: Waveform, voice: str) -> float:
    """By how many semitones the median F0 is above that of the voice, looked for within half an octave of it.

    NaN where nothing is voiced there.
    """
    hertz = F0_HZ[voice]
    track = acoustics.f0_track(waveform, _SAMPLING_RATE, hertz / _HALF_OCTAVE, hertz * _HALF_OCTAVE)
    voiced = track[~np.isnan(track)]
    return 12 * math.log2(np.median(voiced) / hertz) if len(voiced) else math.nan


@dataclass(frozen=True)
class OwnVoice:
    """A speaker's neutral reading: mean F0, and mean length of a word."""

    f0_hz: float
    word_s: float


def own_voice(speaker: str, synthesiser: EmbeddedSynthesiser) -> OwnVoice:
    """Measured, so that `said` knows by how much to move it."""
    rng = np.random.default_rng(0)
    takes = [synthesiser.read(word, speaker, emotions.NEUTRAL, rng) for word in _TUNING_WORDS]
    takes = [filters.trim(take, _SAMPLING_RATE, margin_s=0.0) for take in takes]
    f0_hz = acoustics.measure(np.concatenate(takes), _SAMPLING_RATE).f0_hz
    return OwnVoice(f0_hz, sum(map(len, takes)) / len(takes) / _SAMPLING_RATE)


def said(utterance: Utterance, own: Mapping[str, OwnVoice], synthesiser: EmbeddedSynthesiser, seed: int) -> Waveform:
    """One word in one voice, 16 kHz, without the silence around it; takes differ a little in pitch, tempo and tone.

    A word that measures too far off the pitch of its voice is said again, moved by the difference.
    """
    voice, speaker, word, _ = utterance
    draw = int(hashed_id("paqa", seed, *utterance), 16)
    reading = emotions.reading("neutral", "low", np.random.default_rng(draw))
    rate = reading.rate * own[speaker].word_s / WORD_S
    shift_st = reading.pitch_st / 2 + 12 * math.log2(F0_HZ[voice] / own[speaker].f0_hz)

    def take(shift_st: float) -> tuple[Waveform, float]:
        prosody = replace(reading, pitch_st=shift_st, rate=rate, final_st=0.0)
        raw = synthesiser.read(word, speaker, prosody, np.random.default_rng(draw))
        return filters.trim(raw, _SAMPLING_RATE, margin_s=0.0), off_pitch_st(raw, voice)

    takes = [take(shift_st)]
    while abs(takes[-1][1]) > _TUNED_ST and len(takes) < _MOST_TAKES:
        shift_st -= takes[-1][1]
        takes.append(take(shift_st))
    return min(takes, key=lambda one: abs(one[1]))[0]
