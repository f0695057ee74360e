"""Clips made of real samples: voices of known pitch in turns, over noise of a known level."""

from dataclasses import replace

import numpy as np

from cogrl.data.synthesis import source_filter, voices
from cogrl.data.synthesis.emotions import NEUTRAL
from cogrl.types import Waveform

RATE = 16000
HZ = {"low": 98.0, "middle": 156.0, "high": 247.0}
SPEAKER = voices.speakers()[0]
GAP_S = 0.25


def turn(name, text="kettle river paper window", level=0.1) -> Waveform:
    """A voice whose mean F0 is that of its name, at an RMS of `level`."""
    shift = 12 * np.log2(HZ[name] / SPEAKER.f0_hz)
    raw, _ = source_filter.speak(text, SPEAKER, replace(NEUTRAL, pitch_st=shift, span=0.5))
    return (raw * level / np.sqrt(np.mean(raw**2))).astype(np.float32)


def clip(*turns: Waveform, snr_db: float = 40.0, seed: int = 0) -> Waveform:
    """The turns with gaps around them, over white noise that is `snr_db` below their RMS."""
    gap = np.zeros(round(GAP_S * RATE), np.float32)
    speech = np.concatenate([gap, *(part for one in turns for part in (one, gap))])
    level = np.sqrt(np.mean(np.concatenate(turns) ** 2)) * 10 ** (-snr_db / 20)
    noise = np.random.default_rng(seed).standard_normal(len(speech)).astype(np.float32)
    return speech + np.float32(level) * noise
