"""Voice-quality filters on mono float waveforms: numpy and scipy only, deterministic given `rng`."""

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import lfilter

from cogrl.types import Waveform


def trim(waveform: Waveform, sampling_rate: int, floor_db: float = -40.0, margin_s: float = 0.06) -> Waveform:
    """Without leading and trailing silence (below `floor_db` of the peak) except for a margin of zeros."""
    loud = np.flatnonzero(np.abs(waveform) > np.abs(waveform).max() * 10 ** (floor_db / 20))
    margin = np.zeros(round(margin_s * sampling_rate), np.float32)
    return np.concatenate([margin, waveform[loud[0] : loud[-1] + 1], margin])


def tilt(waveform: Waveform, sampling_rate: int, db_per_octave: float, pivot_hz: float = 500.0) -> Waveform:
    """Spectral slope around `pivot_hz`, flat below 100 Hz and above 6 kHz, at unchanged power."""
    spectrum = np.fft.rfft(waveform)
    hertz = np.clip(np.fft.rfftfreq(len(waveform), 1 / sampling_rate), 100, 6000)
    shaped = np.fft.irfft(spectrum * 10 ** (db_per_octave * np.log2(hertz / pivot_hz) / 20), len(waveform))
    return shaped * _rms(waveform) / _rms(shaped)


def breathe(waveform: Waveform, sampling_rate: int, amount: float, rng: np.random.Generator) -> Waveform:
    """Adds high-passed noise that follows the speech envelope; `amount` is its amplitude relative to the speech."""
    noise = lfilter([1, -1], [1, -0.6], rng.standard_normal(len(waveform)))
    envelope = np.sqrt(uniform_filter1d(np.square(waveform, dtype=np.float64), round(0.03 * sampling_rate)).clip(0))
    return waveform + amount * noise / _rms(noise) * envelope


def roughen(waveform: Waveform, sampling_rate: int, depth: float, rng: np.random.Generator) -> Waveform:
    """Amplitude modulation near 70 Hz with a wandering phase: the roughness of pressed voices."""
    drift = np.cumsum(rng.standard_normal(len(waveform))) * 0.02
    carrier = np.sin(2 * np.pi * 70 * np.arange(len(waveform)) / sampling_rate + drift)
    return waveform * (1 + depth * carrier)


def shimmer(waveform: Waveform, sampling_rate: int, depth: float, rng: np.random.Generator) -> Waveform:
    """Slow random amplitude modulation (15 ms steps), standard deviation `depth`."""
    knots = 1 + depth * np.clip(rng.standard_normal(len(waveform) // round(0.015 * sampling_rate) + 2), -2.5, 2.5)
    return waveform * np.interp(np.arange(len(waveform)), np.linspace(0, len(waveform), len(knots)), knots)


def tremble(
    waveform: Waveform, sampling_rate: int, depth_st: float, hertz: float, rng: np.random.Generator
) -> Waveform:
    """Vibrato of `depth_st` semitones at `hertz` by a variable delay; length unchanged."""
    deviation = 2 ** (depth_st / 12) - 1
    amplitude = deviation * sampling_rate / (2 * np.pi * hertz)
    at = np.arange(len(waveform))
    phase = 2 * np.pi * (hertz * at / sampling_rate + rng.random())
    return np.interp(at + amplitude * np.sin(phase), at, waveform)


def loudness(waveform: Waveform, db: float) -> Waveform:
    """float32 at an RMS of `db` dBFS; peaks above 0.6 are bent below 0.98, never clipped."""
    scaled = waveform * (10 ** (db / 20) / _rms(waveform))
    peak = np.abs(scaled)
    bent = np.sign(scaled) * (0.6 + 0.38 * np.tanh((peak - 0.6) / 0.38))
    return np.where(peak > 0.6, bent, scaled).astype(np.float32)


def _rms(waveform: Waveform) -> float:
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))
