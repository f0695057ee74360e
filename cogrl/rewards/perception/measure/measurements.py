"""All that is measured of a clip, in numpy and scipy alone."""

from dataclasses import dataclass

import numpy as np
from scipy.signal import find_peaks

from cogrl.pitch import f0_track
from cogrl.rewards.perception.measure.levels import HOP_S, active_frames, blind_snr_db, levels_db
from cogrl.rewards.perception.measure.turns import MeasuredTurn, turns_of, voices_of
from cogrl.types import Waveform

_SHORTEST_S = 0.1
_NUCLEUS_DB = 1.5


@dataclass(frozen=True)
class Measurements:
    """What was measured of one clip.

    Args:
        turns: stretches of speech, in order.
        voices_hz: the F0 of each voice in Hz, rising; None where it is not clear how many there are.
        snr_db: how much louder the speech is than what is around it; NaN where there is only one of the two.
        level_db: RMS in dBFS of the whole clip.
        tempo_hz: syllables a second within the turns, by peaks of the level; NaN without turns.
    """

    turns: tuple[MeasuredTurn, ...]
    voices_hz: tuple[float, ...] | None
    snr_db: float
    level_db: float
    tempo_hz: float


def measure(waveform: Waveform, sampling_rate: int) -> Measurements:
    """The measurements of a clip; of one shorter than 0.1 s there are no turns."""
    level_db = float(10 * np.log10(np.mean(np.square(waveform, dtype=np.float64)) + 1e-12))
    if len(waveform) < _SHORTEST_S * sampling_rate:
        return Measurements((), None, float("nan"), level_db, float("nan"))
    levels = levels_db(waveform, sampling_rate)
    active = active_frames(levels)
    turns = turns_of(active, f0_track(waveform, sampling_rate, hop_s=HOP_S), levels, HOP_S)
    voices = voices_of(turns)
    snr_db = blind_snr_db(levels_db(waveform, sampling_rate, None), active)
    return Measurements(
        tuple(turns), None if voices is None else tuple(voices), snr_db, level_db, _tempo(levels, turns)
    )


def _tempo(levels: np.ndarray, turns: list[MeasuredTurn]) -> float:
    """Syllable nuclei: peaks of the level with a dip of 1.5 dB before and after, over the time that is spoken."""
    spoken_s = sum(turn.end_s - turn.start_s for turn in turns)
    parts = [levels[round(turn.start_s / HOP_S) : round(turn.end_s / HOP_S)] for turn in turns]
    nuclei = sum(len(find_peaks(part, prominence=_NUCLEUS_DB)[0]) for part in parts)
    return nuclei / spoken_s if spoken_s else float("nan")
