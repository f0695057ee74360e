"""A voice without dependencies: harmonic glottal source, three formant resonators, exactly known F0."""

from collections.abc import Sequence

import numpy as np
from scipy.signal import lfilter

from cogrl.data.synthesis.emotions import Prosody
from cogrl.data.synthesis.voices import Speaker
from cogrl.types import Waveform

_SAMPLING_RATE = 16000
_SYLLABLE_S = 0.2
VOWELS = {
    "a": (730, 1090, 2440),
    "e": (530, 1840, 2480),
    "i": (270, 2290, 3010),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
    "y": (390, 1990, 2550),
}
"""Formants of American English vowels in Hz (Peterson & Barney 1952)."""


def f0_contour(syllables: int, last: int, base_hz: float, prosody: Prosody) -> np.ndarray:
    """F0 in Hz, three points a syllable: declining accents of 1 st, `final_st` on the `last` syllables."""
    accent = np.where(np.arange(syllables) % 2 == 0, 1.0, -1.0) * prosody.span
    decline = np.linspace(1.0, -1.0, syllables) * prosody.span
    final = np.where(np.arange(syllables) >= syllables - last, prosody.final_st, 0.0)
    steps = prosody.pitch_st + accent + decline + final
    return base_hz * 2 ** (np.repeat(steps, 3) / 12)


def speak(text: str, speaker: Speaker, prosody: Prosody) -> tuple[Waveform, int]:
    """(waveform, sampling rate): one syllable for each vowel letter of `text`, F0 as in `f0_contour`."""
    letters = [letter for letter in text.lower() if letter in VOWELS]
    factor = speaker.formant * prosody.formant
    last = sum(letter in VOWELS for letter in text.lower().split()[-1])
    contour = f0_contour(len(letters), last, speaker.f0_hz / factor, prosody)
    size = round(_SYLLABLE_S * factor / (speaker.rate * prosody.rate) * _SAMPLING_RATE)
    f0 = np.interp(np.arange(size * len(letters)), (np.arange(len(contour)) + 0.5) * size / 3, contour)
    phase = 2 * np.pi * np.cumsum(f0) / _SAMPLING_RATE
    harmonics = np.arange(1, int(0.9 * _SAMPLING_RATE / 2 / f0.max()) + 1)
    source = (np.sin(phase[:, None] * harmonics) / harmonics).sum(1)
    envelope = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 0.5
    parts = zip(np.split(source, len(letters)), letters, strict=True)
    syllables = [resonate(part, VOWELS[letter]) * envelope for part, letter in parts]
    return np.concatenate(syllables).astype(np.float32), _SAMPLING_RATE


def resonate(source: np.ndarray, formants: Sequence[float | int]) -> np.ndarray:
    """A source at 16 kHz through resonators at three formants in Hz, at an RMS of 1."""
    for hertz, width in zip(formants, (80, 100, 140), strict=True):
        radius = np.exp(-np.pi * width / _SAMPLING_RATE)
        poles = [1, -2 * radius * np.cos(2 * np.pi * hertz / _SAMPLING_RATE), radius**2]
        source = lfilter([sum(poles)], poles, source)
    return source / np.sqrt(np.mean(source**2))
