"""The clip of a question: its turns one after the other, over its environment, written as FLAC."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cogrl.audio import to_samples, to_seconds, write_flac
from cogrl.data.recipes.mixing import Spans, fitted, mixed, normalised
from cogrl.data.recipes.paqa.item import Cell
from cogrl.data.recipes.paqa.plan import SPEECH_ALONE
from cogrl.types import Example, SpokenTurn, Waveform

SAMPLING_RATE = 16000
_TURN_GAP_S = (0.12, 0.28)
_EDGE_S = (0.15, 0.35)


class Take(NamedTuple):
    """The samples of a clip, the same without its environment, and its turns with their times."""

    waveform: Waveform
    speech: Waveform
    turns: tuple[SpokenTurn, ...]


def clip_of(
    cell: Cell,
    parts: Sequence[Waveform],
    environment: Callable[[np.random.Generator], Waveform],
    rng: np.random.Generator,
) -> Take:
    """The clip of the samples of each turn, which have no silence around them."""
    speech, spans = _placed([normalised(part) for part in parts], rng)
    turns = tuple(
        SpokenTurn(turn.speaker, to_seconds(start, SAMPLING_RATE), to_seconds(end, SAMPLING_RATE), turn.text)
        for turn, (start, end) in zip(cell.question.turns, spans, strict=True)
    )
    return Take(*mixed(speech, spans, fitted(environment(rng), len(speech), rng), cell.snr_db), turns)


def longest_s(parts_s: Sequence[float]) -> float:
    """How long a clip of turns of these lengths is at most."""
    return sum(parts_s) + _TURN_GAP_S[1] * (len(parts_s) - 1) + 2 * _EDGE_S[1]


def written(cell: Cell, folder: Path, take: Take, **facts: Any) -> Example:
    """The line of a clip, which lies in `folder` afterwards; `facts` are further fields, or other values of these.

    Of the test clips the speech alone lies there too, see `without_environment`.
    """
    asked, path, turns = cell.question, folder / "audio" / cell.id[:2] / f"{cell.id}.flac", take.turns
    write_flac(path, take.waveform, SAMPLING_RATE)
    if cell.split == "test":
        write_flac(_speech_file(path), take.speech, SAMPLING_RATE)
    found = Example(
        id=cell.id,
        audio=path,
        split=cell.split,
        text=" ".join(turn.text for turn in turns),
        text_group="; ".join(sorted(turn.text for turn in turns)),
        duration_s=to_seconds(len(take.waveform), SAMPLING_RATE),
        speech=turns,
        environment=asked.environment,
        snr_db=cell.snr_db,
        question=asked.question,
        choices=asked.choices,
        answer=asked.answer,
        task=asked.task,
    )
    return replace(found, **facts)


def without_environment(example: Example) -> Example:
    """The same question about the speech alone: a control. Its answer stays, its traces, which name sounds, do not."""
    return replace(
        example, audio=_speech_file(example.audio), split=SPEECH_ALONE, environment=None, snr_db=None, targets={}
    )


def _speech_file(clip: Path) -> Path:
    return clip.with_stem(f"{clip.stem}-speech")


def _placed(parts: Sequence[Waveform], rng: np.random.Generator) -> tuple[Waveform, Spans]:
    """The turns with silence before, between and after them, and where each is."""
    pauses_s = [rng.uniform(*_EDGE_S), *(rng.uniform(*_TURN_GAP_S) for _ in parts[1:]), rng.uniform(*_EDGE_S)]
    pauses = [np.zeros(to_samples(pause_s, SAMPLING_RATE), np.float32) for pause_s in pauses_s]
    pieces = [piece for pair in zip(pauses, parts, strict=False) for piece in pair]
    ends = list(itertools.accumulate(map(len, pieces)))
    spans = [(end - len(part), end) for part, end in zip(parts, ends[1::2], strict=True)]
    return np.concatenate([*pieces, pauses[-1]]), spans
