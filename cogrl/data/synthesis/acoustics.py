"""Acoustic measurements of a clip in numpy: F0, level, spectral balance. Used for the corpus card and the tests."""

from dataclasses import dataclass

import numpy as np

from cogrl.pitch import f0_track
from cogrl.types import Waveform


@dataclass(frozen=True)
class Acoustics:
    """Median F0 of the voiced frames (NaN without any), RMS in dBFS, power in 1-5 kHz over power in 0.1-1 kHz."""

    f0_hz: float
    level_db: float
    balance_db: float
    duration_s: float


def measure(waveform: Waveform, sampling_rate: int) -> Acoustics:
    """The measurements of one clip, silence included in level and duration."""
    voiced = f0_track(waveform, sampling_rate)
    voiced = voiced[~np.isnan(voiced)]
    power = np.abs(np.fft.rfft(waveform)) ** 2
    hertz = np.fft.rfftfreq(len(waveform), 1 / sampling_rate)
    low, high = (power[(hertz >= a) & (hertz < b)].sum() for a, b in ((100, 1000), (1000, 5000)))
    return Acoustics(
        f0_hz=float(np.median(voiced)) if len(voiced) else float("nan"),
        level_db=float(10 * np.log10(np.mean(np.square(waveform, dtype=np.float64)) + 1e-12)),
        balance_db=float(10 * np.log10((high + 1e-12) / (low + 1e-12))),
        duration_s=len(waveform) / sampling_rate,
    )
