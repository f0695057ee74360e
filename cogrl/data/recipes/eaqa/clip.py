"""The clip of a scene, with what is heard when exact by construction, and the lines of its questions."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import lfilter

from cogrl.audio import to_samples, to_seconds, write_flac
from cogrl.data.recipes.eaqa.item import Asked, Item, Scene
from cogrl.data.recipes.eaqa.times import LISTS, thought
from cogrl.data.recipes.mixing import mixed, normalised
from cogrl.data.recipes.question_folder import hashed_id
from cogrl.formats.choice import CHOICE
from cogrl.formats.echo import ECHO
from cogrl.types import Event, Example, Span, SpokenTurn, Waveform

SAMPLING_RATE = 16000
GAP_S = 0.3
"""Between two items, at least."""
EDGE_S = 0.1
LEVEL_DB = -46.0
"""RMS of every item in dBFS; low, so that files are small."""
Sounding = Callable[[Item, np.random.Generator], Waveform]
"""The samples of an item at 16 kHz, of any level, without silence around it."""


def render(scene: Scene, folder: Path, sounding: Sounding, **facts: Any) -> list[Example]:
    """Writes the clip and returns a line for each of its questions; `facts` are further fields of all of them.

    Raises ValueError where its items do not fit.
    """
    rng = np.random.default_rng(scene.seed)
    parts = [normalised(sounding(item, rng), LEVEL_DB) for item in scene.items]
    samples = to_samples(scene.duration_s, SAMPLING_RATE)
    starts = placed([len(part) for part in parts], samples, rng, scene.id)
    quiet = np.zeros(samples, np.float32)
    spans = [(start, start + len(part)) for start, part in zip(starts, parts, strict=True)]
    for (start, end), part in zip(spans, parts, strict=True):
        quiet[start:end] = part
    path = folder / "audio" / scene.id[:2] / f"{scene.id}.flac"
    mix, _ = mixed(quiet, spans, _noise(samples, rng), scene.snr_db)
    write_flac(path, mix, SAMPLING_RATE)
    spans_s = [Span(to_seconds(start, SAMPLING_RATE), to_seconds(end, SAMPLING_RATE)) for start, end in spans]
    return [_line(scene, asked, number, spans_s, path, facts) for number, asked in enumerate(scene.asked)]


def placed(lengths: Sequence[int], samples: int, rng: np.random.Generator, name: str) -> list[int]:
    """Where items of these lengths start: in order, `GAP_S` apart at least, the rest of the silence drawn evenly.

    All in samples. Raises ValueError where they do not fit.
    """
    edge, gap = to_samples(EDGE_S, SAMPLING_RATE), to_samples(GAP_S, SAMPLING_RATE)
    free = samples - sum(lengths) - 2 * edge - gap * (len(lengths) - 1)
    if free < 0:
        raise ValueError(
            f"{name}: {len(lengths)} items of {to_seconds(sum(lengths), SAMPLING_RATE):.2f} s with {GAP_S} s between "
            f"them do not fit into {to_seconds(samples, SAMPLING_RATE):g} s; give it a longer clip or fewer items"
        )
    before = np.sort(rng.integers(0, free + 1, len(lengths)))
    behind = np.cumsum([0, *(length + gap for length in lengths[:-1])])
    return (edge + before + behind).tolist()


def _noise(samples: int, rng: np.random.Generator) -> Waveform:
    """Noise whose spectrum falls by a slope of its own."""
    return lfilter([1], [1, -rng.uniform(0.5, 0.95)], rng.standard_normal(samples)).astype(np.float32)


def _line(scene: Scene, asked: Asked, number: int, spans: Sequence[Span], path: Path, facts: dict[str, Any]) -> Example:
    sought = [(scene.items[n].cue, spans[n]) for n in asked.evidence]
    answer = asked.answer or LISTS[asked.task](sought)
    voices = [(item, span) for item, span in zip(scene.items, spans, strict=True) if item.text]
    speakers = {item.name: item.speaker for item, _ in voices}
    return Example(
        id=hashed_id(scene.id, number),
        audio=path,
        split=scene.split,
        text="; ".join(item.text for item, _ in voices),
        speaker="+".join(sorted(speakers.values())),
        duration_s=scene.duration_s,
        speech=tuple(SpokenTurn(item.name, span.start_s, span.end_s, item.text) for item, span in voices),
        events=tuple(Event(span.start_s, span.end_s, item.name) for item, span in zip(scene.items, spans, strict=True)),
        evidence=tuple(spans[place] for place in sorted(asked.evidence)),
        snr_db=scene.snr_db,
        question=asked.question,
        choices=asked.choices,
        answer=answer,
        task=asked.task,
        language="en",
        targets={name: target for name, target in _targets(asked, answer, spans).items() if name in scene.formats},
        synthesis={"clip": scene.id, "speakers": speakers, **scene.facts},
        **facts,
    )


def _targets(asked: Asked, answer: str, spans: Sequence[Span]) -> dict[str, str]:
    found = {"choice": CHOICE.render({"answer": answer})}
    if asked.thinking:
        found["echo"] = ECHO.render({"thinking": thought(asked.thinking, spans), "answer": answer})
    return found
