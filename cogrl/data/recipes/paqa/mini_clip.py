"""The clip of a question of PAQA-mini, made of words that were said one by one."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cogrl.audio import to_samples, to_seconds
from cogrl.data.recipes.paqa.clip import SAMPLING_RATE, Take, clip_of, written
from cogrl.data.recipes.paqa.environments import environment
from cogrl.data.recipes.paqa.item import Cell, PlannedTurn
from cogrl.data.recipes.paqa.speakers import F0_HZ, LARGEST_OFFSET_ST, off_pitch_st
from cogrl.types import Example, Waveform

MAX_S = 4.0
_WORD_GAP_S = (0.02, 0.05)
Words = Sequence[Sequence[Waveform]]
"""Of each turn, the samples of its words."""


def render(cell: Cell, words: Words, folder: Path, source: str, licence: str) -> Example:
    """Writes the clip and returns its line, without targets."""
    take, f0_hz = mini_clip(cell, words)
    voices = {turn.speaker: turn.source[0][1] for turn in cell.question.turns}
    return written(
        cell,
        folder,
        take,
        text_group="",  # all parts share their words
        speaker="+".join(sorted(voices.values())),
        language="en",
        synthesis={"voices": voices, "f0_hz": dict(zip(voices, f0_hz, strict=True))},
        source=source,
        licence=licence,
    )


def mini_clip(cell: Cell, words: Words) -> tuple[Take, list[float]]:
    """(the clip, measured F0 of each turn in Hz).

    Raises ValueError where the voices do not measure far enough apart or the clip is longer than `MAX_S`.
    """
    rng = np.random.default_rng(cell.seed)
    parts = [_joined(pair, rng) for pair in words]
    f0_hz = [_checked_f0_hz(cell.id, turn, part) for turn, part in zip(cell.question.turns, parts, strict=True)]
    around = lambda rng: environment(cell.question.environment, rng, SAMPLING_RATE)
    take = clip_of(cell, parts, around, rng)
    lasts_s = to_seconds(len(take.waveform), SAMPLING_RATE)
    if lasts_s > MAX_S:
        raise ValueError(f"{cell.id}: lasts {lasts_s:.2f} s, at most {MAX_S} s fit; take fewer words or a faster voice")
    return take, f0_hz


def _joined(words: Sequence[Waveform], rng: np.random.Generator) -> Waveform:
    gap = np.zeros(to_samples(rng.uniform(*_WORD_GAP_S), SAMPLING_RATE), np.float32)
    return np.concatenate([words[0], gap, words[1]])


def _checked_f0_hz(name: str, turn: PlannedTurn, waveform: Waveform) -> float:
    """The measured F0 of a turn. Raises ValueError where it is not well apart from those of the other voices."""
    off_st = off_pitch_st(waveform, turn.speaker)
    f0_hz = F0_HZ[turn.speaker] * 2 ** (off_st / 12)
    if not abs(off_st) <= LARGEST_OFFSET_ST:
        raise ValueError(
            f"{name}: the {turn.speaker} voice measures {f0_hz:.0f} Hz in {turn.text!r}, {off_st:+.1f} st off "
            f"{F0_HZ[turn.speaker]:.0f} Hz; the voices could be confused"
        )
    return round(f0_hz, 1)
