"""The pitch of a voice: F0 from the waveform, in numpy."""

import numpy as np

from cogrl.types import Waveform


def f0_track(
    waveform: Waveform, sampling_rate: int, low_hz: float = 65.0, high_hz: float = 480.0, hop_s: float = 0.01
) -> np.ndarray:
    """F0 in Hz every `hop_s`, NaN where unvoiced: window-corrected autocorrelation (Boersma 1993), no path search.

    Among the peaks within 90 % of the highest the shortest period wins, against octave-down errors.
    """
    size, hop = round(0.04 * sampling_rate), round(hop_s * sampling_rate)
    if len(waveform) < size:
        return np.full(1, np.nan)
    frames = np.lib.stride_tricks.sliding_window_view(waveform, size)[::hop].astype(np.float64)
    frames = frames - frames.mean(1, keepdims=True)
    window = np.hanning(size)
    shortest, longest = int(sampling_rate / high_hz), int(sampling_rate / low_hz)
    correlation = _autocorrelation(frames * window)[:, : longest + 2] / _autocorrelation(window)[: longest + 2]
    energy = correlation[:, :1]
    correlation = correlation / np.maximum(energy, 1e-12)
    inner = correlation[:, shortest : longest + 1]
    peak = (inner > correlation[:, shortest - 1 : longest]) & (inner >= correlation[:, shortest + 1 : longest + 2])
    peak &= inner > np.maximum(0.5, 0.9 * np.where(peak, inner, 0).max(1, keepdims=True))
    lag = peak.argmax(1) + shortest
    rows = np.arange(len(lag))
    left, middle, right = (correlation[rows, lag + shift] for shift in (-1, 0, 1))
    curve = left - 2 * middle + right
    offset = np.where(np.abs(curve) > 1e-9, 0.5 * (left - right) / np.where(curve == 0, 1, curve), 0)
    voiced = peak.any(1) & (energy[:, 0] > 0.01 * energy.max())
    return np.where(voiced, sampling_rate / (lag + offset), np.nan)


def _autocorrelation(frames: np.ndarray) -> np.ndarray:
    size = frames.shape[-1]
    return np.fft.irfft(np.abs(np.fft.rfft(frames, 2 * size)) ** 2)[..., :size]
