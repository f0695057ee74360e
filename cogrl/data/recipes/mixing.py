"""Speech over an environment at a signal-to-noise ratio.

`y = s + g n`, with g = rms(s) / rms(n) * 10^(-SNR / 20). (HyPeR, arXiv:2604.14806: both RMS-normalised, SNR of 0-20 dB)
"""

from collections.abc import Sequence

import numpy as np

from cogrl.types import Waveform

LEVEL_DB = -26.0
"""RMS of every turn in dBFS."""
PEAK = 0.99
Spans = Sequence[tuple[int, int]]
"""[start, end) of each turn in samples."""


def normalised(waveform: Waveform, level_db: float = LEVEL_DB) -> Waveform:
    """At an RMS of `level_db` dBFS. Raises ValueError for silence."""
    level = rms(waveform)
    if not level > 0:
        raise ValueError("is silent, no gain gives it a level")
    return (waveform * (10 ** (level_db / 20) / level)).astype(np.float32)


def fitted(waveform: Waveform, samples: int, rng: np.random.Generator) -> Waveform:
    """Exactly `samples` of it from a place that `rng` draws: repeated where it is shorter, cut where it is longer."""
    start = int(rng.integers(len(waveform) if len(waveform) < samples else len(waveform) - samples + 1))
    return np.take(waveform, np.arange(start, start + samples), mode="wrap")


def mixed(speech: Waveform, spans: Spans, environment: Waveform, snr_db: float) -> tuple[Waveform, Waveform]:
    """(`speech` with the environment of the same length under it, the speech alone at the same gain).

    Both are scaled down where the mix has its peak above `PEAK`. The level of the speech is that of the samples within
    its turns, `spans`; the pauses between do not count. Raises ValueError for an environment that is silent.
    """
    spoken = np.concatenate([speech[start:end] for start, end in spans])
    level = rms(environment)
    if not level > 0:
        raise ValueError("the environment is silent for the length of the clip, no gain gives it a level")
    gain = rms(spoken) / level * 10 ** (-snr_db / 20)
    mix = speech + gain * environment
    scale = min(1.0, PEAK / np.abs(mix).max())
    return (mix * scale).astype(np.float32), (speech * scale).astype(np.float32)


def rms(waveform: Waveform) -> float:
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))
