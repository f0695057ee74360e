"""The level of a clip over time, and how much louder its speech is than what is around it."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import uniform_filter1d

from cogrl.types import Waveform

HOP_S = 0.01
_WINDOW_S = 0.025
_BAND_HZ = (200.0, 4000.0)
_SMALLEST = 1e-10


def levels_db(
    waveform: Waveform, sampling_rate: int, band_hz: tuple[float, float] | None = _BAND_HZ
) -> Float[np.ndarray, " frames"]:
    """The level every `HOP_S`, in dB, smoothed over three frames: of what lies within `band_hz`, else of all."""
    hop, size = round(HOP_S * sampling_rate), round(_WINDOW_S * sampling_rate)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(waveform, (size // 2, size // 2)), size)[::hop]
    if band_hz is None:
        power = np.square(frames, dtype=np.float64).mean(1)
    else:
        hertz = np.fft.rfftfreq(size, 1 / sampling_rate)
        inside = (hertz >= band_hz[0]) & (hertz < band_hz[1])
        power = (np.abs(np.fft.rfft(frames * np.hanning(size).astype(np.float32))) ** 2)[:, inside].sum(1)
    return 10 * np.log10(uniform_filter1d(power, 3) + _SMALLEST)


def active_frames(levels: Float[np.ndarray, " frames"]) -> Bool[np.ndarray, " frames"]:
    """Where somebody speaks: levels that stand out from the floor by 3 dB and by a third of what the loudest do."""
    floor, loudest = np.percentile(levels, (8, 95))
    return levels > floor + max(3.0, 0.35 * (loudest - floor))


def blind_snr_db(levels: Float[np.ndarray, " frames"], active: Bool[np.ndarray, " frames"]) -> float:
    """The mean power of the active frames less the median of the others, over that median; NaN without both.

    For steady noise. What beeps and knocks add is not seen between them, so that they seem to be no noise at all.
    """
    if active.all() or not active.any():
        return float("nan")
    power = 10 ** (levels / 10)
    noise = np.median(power[~active])
    return float(10 * np.log10(max(power[active].mean() - noise, _SMALLEST) / noise))
