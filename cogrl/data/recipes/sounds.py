"""Six short sounds that are told apart by ear, made with numpy: events whose order a question asks about."""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.signal import lfilter

from cogrl.data.synthesis.filters import loudness
from cogrl.types import Waveform

LEVEL_DB = -28.0
"""RMS in dBFS of every sound."""


def sound(kind: str, rng: np.random.Generator, sampling_rate: int) -> Waveform:
    """One of `KINDS`, 0.35 s to 0.55 s long, with pitch and length of its own. Raises KeyError for another kind."""
    samples = round(rng.uniform(0.35, 0.55) * sampling_rate)
    raw = KINDS[kind](np.arange(samples) / sampling_rate, rng)
    fade = np.minimum(1, np.minimum(np.arange(samples), np.arange(samples)[::-1]) / (0.01 * sampling_rate))
    return loudness(raw * fade, LEVEL_DB).astype(np.float32)


def _beep(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.sin(2 * np.pi * rng.uniform(800, 1200) * t)


def _chirp(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    start, end = rng.uniform(300, 500), rng.uniform(2500, 3500)
    return np.sin(2 * np.pi * (start * t + (end - start) * t**2 / (2 * t[-1])))


def _buzz(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.sign(np.sin(2 * np.pi * rng.uniform(90, 130) * t))


def _hiss(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return lfilter([1, -0.9], [1], rng.standard_normal(len(t)))


def _bell(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    partials = rng.uniform(500, 700) * np.array([1, 2.76, 5.4])
    return (np.sin(2 * np.pi * partials[:, None] * t) * np.exp(-t * np.array([[5], [8], [12]]))).sum(0)


def _knock(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    since = t % (t[-1] / 3)  # three blows
    return np.sin(2 * np.pi * rng.uniform(160, 220) * since) * np.exp(-60 * since)


KINDS: Mapping[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "beep": _beep,
    "bell": _bell,
    "buzz": _buzz,
    "chirp": _chirp,
    "hiss": _hiss,
    "knock": _knock,
}
"""By name: samples at the times `t` in seconds, of any level."""
