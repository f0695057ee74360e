"""Four voices that are told apart by ear and say words of four vowels, made with a source and three resonators.

`low` and `high` differ in F0, `robot` has a constant F0 and a copy of its spectrum around 3.4 kHz, `whisper` has noise
for a source.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from cogrl.data.synthesis.source_filter import VOWELS, resonate
from cogrl.types import Waveform

SAMPLING_RATE = 16000
LETTERS = ("a", "e", "i", "o", "u")
WORDS = tuple(" ".join(letters) for letters in itertools.product(LETTERS, repeat=4))
"""All 625."""
VOWEL_S = (0.1, 0.14)
SPEAKERS_OF_A_VOICE = 12
_CARRIER_HZ = 3400.0
_F0_HZ: Mapping[str, tuple[float, float]] = {
    "low": (85.0, 120.0),
    "high": (240.0, 320.0),
    "robot": (140.0, 180.0),
    "whisper": (0.0, 0.0),
}
"""Of the first and the last speaker of each voice; a whisper has none."""
_FORMANTS: Mapping[str, float] = {"low": 0.95, "high": 1.15, "robot": 1.0, "whisper": 1.05}
_SPREAD = 0.05
VOICES = tuple(_F0_HZ)


@dataclass(frozen=True)
class Speaker:
    """One who has a voice: mean F0 in Hz, and a factor on the formants."""

    name: str
    voice: str
    f0_hz: float
    formant: float


def speaker(voice: str, number: int) -> Speaker:
    """One of the twelve speakers of a voice, from 0; they are evenly spaced in F0, and in formants in another order."""
    low, high = _F0_HZ[voice]
    place, other = (n % SPEAKERS_OF_A_VOICE / (SPEAKERS_OF_A_VOICE - 1) for n in (number, 5 * number + 3))
    formant = _FORMANTS[voice] * (1 + _SPREAD * (2 * other - 1))
    return Speaker(f"{voice}{number:02d}", voice, round(low + (high - low) * place, 1), round(formant, 4))


def word(text: str, person: Speaker, rng: np.random.Generator) -> Waveform:
    """The vowels of `text` one after the other, 100 ms to 140 ms each, at 16 kHz, of any level."""
    sizes = [round(length * SAMPLING_RATE) for length in rng.uniform(*VOWEL_S, len(text.split()))]
    source = _SOURCES[person.voice](sum(sizes), person.f0_hz, rng)
    parts = np.split(source, np.cumsum(sizes)[:-1])
    spoken = [_vowel(part, letter, person.formant) for part, letter in zip(parts, text.split(), strict=True)]
    return _COLOURED.get(person.voice, lambda samples: samples)(np.concatenate(spoken)).astype(np.float32)


def _vowel(source: np.ndarray, letter: str, formant: float) -> np.ndarray:
    envelope = np.sin(np.pi * (np.arange(len(source)) + 0.5) / len(source)) ** 0.5
    return resonate(source, [formant * hertz for hertz in VOWELS[letter]]) * envelope


def _spoken(samples: int, f0_hz: float, rng: np.random.Generator) -> np.ndarray:
    """Pulses whose F0 declines by two semitones, from a start of its own."""
    steps = np.linspace(1, -1, samples) + rng.uniform(-0.7, 0.7)
    return _pulses(f0_hz * 2 ** (steps / 12))


def _monotone(samples: int, f0_hz: float, rng: np.random.Generator) -> np.ndarray:
    return _pulses(np.full(samples, f0_hz))


def _noise(samples: int, f0_hz: float, rng: np.random.Generator) -> np.ndarray:
    return lfilter([1, -0.5], [1], rng.standard_normal(samples))


def _pulses(f0_hz: np.ndarray) -> np.ndarray:
    """All harmonics below 7 kHz, falling by 6 dB an octave: the sum of cosines in closed form, integrated."""
    phase = 2 * np.pi * (np.cumsum(f0_hz) / SAMPLING_RATE) + 1e-4
    harmonics = int(7000 / f0_hz.max())
    buzz = np.sin((harmonics + 0.5) * phase) / np.sin(phase / 2) - 1
    return lfilter([1], [1, -0.97], buzz)


def _ringing(spoken: np.ndarray) -> np.ndarray:
    return spoken + 0.7 * spoken * np.sin(2 * np.pi * _CARRIER_HZ * np.arange(len(spoken)) / SAMPLING_RATE)


_SOURCES: Mapping[str, Callable[[int, float, np.random.Generator], np.ndarray]] = {
    "low": _spoken,
    "high": _spoken,
    "robot": _monotone,
    "whisper": _noise,
}
_COLOURED: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {"robot": _ringing}
_DEALT: Mapping[str, Sequence[int]] = {"sft": (0, 1, 3, 6, 8, 11), "rl": (4, 9), "val": (7,), "test": (2, 5, 10)}
SPEAKERS: Mapping[str, Mapping[str, Sequence[Speaker]]] = {
    part: {voice: [speaker(voice, number) for number in numbers] for voice in VOICES}
    for part, numbers in _DEALT.items()
}
"""By part of the corpus and voice; no two parts share a speaker, and no part has F0s that lie outside those of sft."""
