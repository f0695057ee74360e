"""The turns of a clip from its level and its pitch, and how many voices take them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

LONGEST_GAP_S = 0.09
SHORTEST_TURN_S = 0.15
FEWEST_VOICED_FRAMES = 8
LEAST_VOICED = 0.5
VOICE_HZ = (65.0, 330.0)
WIDEST_TURN_ST = 6.0
"""From the lowest fifth of a turn's pitch to the highest: more is two voices in one turn, or no voice."""
SAME_VOICE_ST = 2.5
OTHER_VOICE_ST = 4.0
"""Turns no further apart than the one are of one voice, from the other on of two; between them nobody knows."""


@dataclass(frozen=True)
class MeasuredTurn:
    """One stretch of speech.

    Args:
        start_s, end_s: in seconds from the beginning of the clip.
        f0_hz: the median; NaN where hardly anything is voiced.
        width_st: from the lowest fifth of the pitch to the highest, in semitones; NaN as `f0_hz`.
        voiced: the share of its frames that have a pitch.
        level_db: the mean, on the scale of `levels_db`.
    """

    start_s: float
    end_s: float
    f0_hz: float
    width_st: float
    voiced: float
    level_db: float

    @property
    def one_voice(self) -> bool:
        """Whether it sounds like one voice: mostly voiced, in a voice's range, and not too wide."""
        return (
            self.voiced >= LEAST_VOICED and VOICE_HZ[0] <= self.f0_hz <= VOICE_HZ[1] and self.width_st <= WIDEST_TURN_ST
        )


def turns_of(
    active: Bool[np.ndarray, " frames"],
    f0_hz: Float[np.ndarray, " pitches"],
    levels: Float[np.ndarray, " frames"],
    hop_s: float,
) -> list[MeasuredTurn]:
    """Stretches of active frames, gaps of up to `LONGEST_GAP_S` closed, those below `SHORTEST_TURN_S` left out.

    `f0_hz` has NaN in unvoiced frames, and may be shorter than `active`.
    """
    pitch_st = np.full(len(active), np.nan)
    pitch_st[: len(f0_hz)] = 12 * np.log2(f0_hz)[: len(active)]
    return [_turn(start, end, pitch_st[start:end], levels[start:end], hop_s) for start, end in _spans(active, hop_s)]


def voices_of(turns: Sequence[MeasuredTurn]) -> tuple[float, ...] | None:
    """The F0 of each voice in Hz, rising; None where a turn may be no voice, or two are too near each other to tell.

    Turns are one voice when no step from one to the next, in the order of their pitch, is wider than `SAME_VOICE_ST`.
    """
    if not turns or not all(turn.one_voice for turn in turns):
        return None
    pitches = sorted(turn.f0_hz for turn in turns)
    voices = [[pitches[0]]]
    for lower, higher in pairwise(pitches):
        step_st = 12 * math.log2(higher / lower)
        if SAME_VOICE_ST < step_st < OTHER_VOICE_ST:
            return None
        if step_st >= OTHER_VOICE_ST:
            voices.append([])
        voices[-1].append(higher)
    return tuple(float(np.median(voice)) for voice in voices)


def _spans(active: Bool[np.ndarray, " frames"], hop_s: float) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(active.astype(np.int8), prepend=0, append=0)).tolist()
    closed: list[tuple[int, int]] = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        near = closed and (start - closed[-1][1]) * hop_s <= LONGEST_GAP_S
        closed.append((closed.pop()[0] if near else start, end))
    return [(start, end) for start, end in closed if (end - start) * hop_s >= SHORTEST_TURN_S]


def _turn(
    start: int, end: int, pitch_st: Float[np.ndarray, " n"], levels: Float[np.ndarray, " n"], hop_s: float
) -> MeasuredTurn:
    voiced = pitch_st[~np.isnan(pitch_st)]
    enough = len(voiced) >= FEWEST_VOICED_FRAMES
    low, middle, high = np.percentile(voiced, (20, 50, 80)) if enough else (np.nan,) * 3
    return MeasuredTurn(
        start_s=start * hop_s,
        end_s=end * hop_s,
        f0_hz=float(2 ** (middle / 12)),
        width_st=float(high - low),
        voiced=len(voiced) / (end - start),
        level_db=float(10 * np.log10(np.mean(10 ** (levels / 10)))),
    )
