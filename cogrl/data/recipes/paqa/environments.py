"""Eight environments that are told apart by ear, made with numpy."""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.signal import butter, lfilter, sosfilt

from cogrl.types import Waveform

LENGTHS_S = (2.0, 5.0)


def environment(kind: str, rng: np.random.Generator, sampling_rate: int) -> Waveform:
    """A take of one of `KINDS`, 2 s to 5 s long, of any level. Raises KeyError for another kind."""
    samples = round(rng.uniform(*LENGTHS_S) * sampling_rate)
    return KINDS[kind](np.arange(samples) / sampling_rate, rng).astype(np.float32)


def _rain(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    drops = np.where(rng.random(len(t)) < 0.004, rng.standard_normal(len(t)) * 12, 0)
    return lfilter([1, -0.95], [1, -0.5], rng.standard_normal(len(t)) + drops)


def _wind(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    gusts = 1 + 0.5 * np.sin(2 * np.pi * (rng.uniform(0.4, 0.8) * t + rng.random()))
    return gusts * _band(rng.standard_normal(len(t)), 150.0, 500.0, t)


def _hum(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    mains = rng.uniform(48, 62) * np.arange(1, 6)
    return (np.sin(2 * np.pi * (mains[:, None] * t + rng.random((5, 1)))) / np.array([[2], [1], [3], [2], [4]])).sum(0)


def _beeps(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    on = (t * rng.uniform(2.5, 3.5) + rng.random()) % 1 < 0.5
    return on * np.sin(2 * np.pi * rng.uniform(1600, 2200) * t)


def _engine(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    strokes = np.exp(-5 * ((t * rng.uniform(22, 30)) % 1))
    return lfilter([1], [1, -0.9], strokes * rng.standard_normal(len(t))) + 2 * (strokes - strokes.mean())


def _babble(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.sum([_murmur(t, rng) for _ in range(6)], axis=0)


def _murmur(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A voice without words: a buzz of wandering pitch, cut into syllables, through two formants that move."""
    knots = np.arange(0, t[-1] + 0.4, 0.2)
    pitch = np.interp(t, knots, rng.uniform(90, 240) * 2 ** (rng.uniform(-2, 2, len(knots)) / 12))
    syllables = np.clip(np.interp(t, knots, rng.uniform(-0.5, 1, len(knots))), 0, None)
    buzz = 2 * (np.cumsum(pitch) * t[1] % 1) - 1
    return syllables * sum(_band(buzz, low, 1.25 * low, t) for low in (rng.uniform(300, 800), rng.uniform(900, 2200)))


def _birds(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    phase = (t * rng.uniform(2.5, 4) + rng.random()) % 1
    sweep = rng.uniform(3000, 3800) + 900 * np.sin(2 * np.pi * 4 * phase)
    return np.clip(np.sin(2 * np.pi * phase), 0, None) * np.sin(2 * np.pi * np.cumsum(sweep) * t[1])


def _knocking(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    since = (t + rng.random()) % rng.uniform(0.22, 0.3)
    return np.exp(-25 * since) * np.sin(2 * np.pi * rng.uniform(380, 480) * since)


def _band(signal: np.ndarray, low_hz: float, high_hz: float, t: np.ndarray) -> np.ndarray:
    return sosfilt(butter(1, (low_hz, high_hz), "bandpass", fs=1 / t[1], output="sos"), signal)


KINDS: Mapping[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "babble": _babble,
    "beeps": _beeps,
    "birds": _birds,
    "engine": _engine,
    "hum": _hum,
    "knocking": _knocking,
    "rain": _rain,
    "wind": _wind,
}
"""By name: samples at the times `t` in seconds."""
