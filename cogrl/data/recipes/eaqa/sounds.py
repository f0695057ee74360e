"""Six events that are told apart by ear, made with numpy."""

from collections.abc import Callable, Mapping

import numpy as np

from cogrl.data.recipes import sounds
from cogrl.types import Waveform

KNOCK, LOW_BEEP, HIGH_BEEP = "knock", "low beep", "high beep"
MOST_BLOWS = 4
_BLOW_S = 0.13


def sound(kind: str, blows: int, rng: np.random.Generator, sampling_rate: int) -> Waveform:
    """One of `EVENTS`, 0.13 s to 0.55 s long, of any level; a knock has `blows`. Raises KeyError for another."""
    return _knocks(blows, rng, sampling_rate) if kind == KNOCK else _TAKES[kind](rng, sampling_rate)


def _knocks(blows: int, rng: np.random.Generator, sampling_rate: int) -> Waveform:
    """So many blows, one every 0.13 s."""
    since = (np.arange(round(blows * _BLOW_S * sampling_rate)) / sampling_rate) % _BLOW_S
    return (np.sin(2 * np.pi * rng.uniform(160, 220) * since) * np.exp(-60 * since)).astype(np.float32)


def _beep(low_hz: float, high_hz: float) -> Callable[[np.random.Generator, int], Waveform]:
    def take(rng: np.random.Generator, sampling_rate: int) -> Waveform:
        t = np.arange(round(rng.uniform(0.3, 0.45) * sampling_rate)) / sampling_rate
        fade = np.minimum(1, np.minimum(t, t[::-1]) / 0.01)
        return (fade * np.sin(2 * np.pi * rng.uniform(low_hz, high_hz) * t)).astype(np.float32)

    return take


def _of_qa_mini(kind: str) -> Callable[[np.random.Generator, int], Waveform]:
    return lambda rng, sampling_rate: sounds.sound(kind, rng, sampling_rate)


_TAKES: Mapping[str, Callable[[np.random.Generator, int], Waveform]] = {
    LOW_BEEP: _beep(500.0, 700.0),
    HIGH_BEEP: _beep(1500.0, 2000.0),
    "bell": _of_qa_mini("bell"),
    "hiss": _of_qa_mini("hiss"),
    "buzz": _of_qa_mini("buzz"),
}
EVENTS = (KNOCK, *_TAKES)
