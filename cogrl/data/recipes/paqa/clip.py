"""The clip of a question: its turns one after the other, over its environment."""

import itertools
from collections.abc import Sequence

import numpy as np

from cogrl.audio import to_samples, to_seconds
from cogrl.data.recipes.paqa.environments import environment
from cogrl.data.recipes.paqa.mixing import Spans, fitted, mixed, normalised
from cogrl.data.recipes.paqa.plan import Cell
from cogrl.data.recipes.paqa.questions import PlannedTurn
from cogrl.data.recipes.paqa.speakers import F0_HZ, LARGEST_OFFSET_ST, off_pitch_st
from cogrl.types import SpokenTurn, Waveform

SAMPLING_RATE = 16000
MAX_S = 4.0
_WORD_GAP_S = (0.02, 0.05)
_TURN_GAP_S = (0.12, 0.28)
_EDGE_S = (0.15, 0.35)


def clip_of(cell: Cell, words: Sequence[Sequence[Waveform]]) -> tuple[Waveform, tuple[SpokenTurn, ...], list[float]]:
    """(samples, turns with their times, measured F0 of each turn in Hz) of the words of each turn.

    Raises ValueError where the voices do not measure far enough apart or the clip is longer than `MAX_S`.
    """
    rng = np.random.default_rng(cell.seed)
    parts = [normalised(_turn(pair, rng)) for pair in words]
    speech, spans = _placed(parts, rng)
    if len(speech) > MAX_S * SAMPLING_RATE:
        raise ValueError(
            f"{cell.id}: lasts {len(speech) / SAMPLING_RATE:.2f} s, at most {MAX_S} s fit; take fewer words"
        )
    around = fitted(environment(cell.question.environment, rng, SAMPLING_RATE), len(speech), rng)
    turns = tuple(
        SpokenTurn(turn.voice, to_seconds(start, SAMPLING_RATE), to_seconds(end, SAMPLING_RATE), turn.text)
        for turn, (start, end) in zip(cell.question.turns, spans, strict=True)
    )
    f0_hz = [_checked_f0_hz(cell.id, turn, part) for turn, part in zip(cell.question.turns, parts, strict=True)]
    return mixed(speech, spans, around, cell.snr_db), turns, f0_hz


def _turn(words: Sequence[Waveform], rng: np.random.Generator) -> Waveform:
    gap = np.zeros(to_samples(rng.uniform(*_WORD_GAP_S), SAMPLING_RATE), np.float32)
    return np.concatenate([words[0], gap, words[1]])


def _placed(parts: Sequence[Waveform], rng: np.random.Generator) -> tuple[Waveform, Spans]:
    """The turns with silence before, between and after them, and where each is."""
    pauses_s = [rng.uniform(*_EDGE_S), *(rng.uniform(*_TURN_GAP_S) for _ in parts[1:]), rng.uniform(*_EDGE_S)]
    pauses = [np.zeros(to_samples(pause_s, SAMPLING_RATE), np.float32) for pause_s in pauses_s]
    pieces = [piece for pair in zip(pauses, parts, strict=False) for piece in pair]
    ends = list(itertools.accumulate(map(len, pieces)))
    spans = [(end - len(part), end) for part, end in zip(parts, ends[1::2], strict=True)]
    return np.concatenate([*pieces, pauses[-1]]), spans


def _checked_f0_hz(name: str, turn: PlannedTurn, waveform: Waveform) -> float:
    """The measured F0 of a turn. Raises ValueError where it is not well apart from those of the other voices."""
    off_st = off_pitch_st(waveform, turn.voice)
    f0_hz = F0_HZ[turn.voice] * 2 ** (off_st / 12)
    if not abs(off_st) <= LARGEST_OFFSET_ST:
        raise ValueError(
            f"{name}: the {turn.voice} voice measures {f0_hz:.0f} Hz in {turn.text!r}, {off_st:+.1f} st off "
            f"{F0_HZ[turn.voice]:.0f} Hz; the voices could be confused"
        )
    return round(f0_hz, 1)
