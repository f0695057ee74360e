"""Evaluations made by hand: what a policy would have answered, without a policy."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cogrl.evaluate.emotion import Answers, Evaluation
from cogrl.types import EMOTIONS, ROUTES, Clip, Emotion, Example

Label = Callable[[Clip], Emotion | None]


def clips(speakers: int = 3, sentences: int = 4, emotions: Sequence[Emotion] = EMOTIONS, **fields) -> list[Clip]:
    """Every sentence by every speaker in every emotion; the waveform is the clip's number."""
    found: list[Clip] = []
    for s in range(speakers):
        for t in range(sentences):
            for emotion in emotions:
                n = len(found)
                example = Example(f"c{n}", Path(f"{n}.flac"), "test", f"Sentence {t}.", f"t{t}", f"s{s}", emotion)
                found.append(Clip(replace(example, **fields), np.full(4, float(n), dtype=np.float32)))
    return found


def fixed(
    clips: Sequence[Clip], label: Label, name: str = "fixed", control: Label | None = None, reply: Label | None = None
) -> Evaluation:
    """An evaluation in which every clip is perceived as `label(clip)` and in every control as `control(clip)`."""
    routes = {route: answers(clips, label, route, reply or label) for route in ROUTES}
    heard = {route: answers(clips, control or label, route, control or reply or label) for route in ROUTES}
    return Evaluation(name, clips, routes, {name: heard for name in ("transcript", "silence", "shuffled")})


def answers(clips: Sequence[Clip], label: Label, route: str = "A", reply: Label | None = None) -> Answers:
    n = len(clips)
    perceived = [label(clip) if route == "A" else None for clip in clips]
    grades = {"empathy": np.zeros(n), "format": np.ones(n)}
    replied = [(reply or label)(clip) for clip in clips]
    return Answers(route, ["-"] * n, [70 if route == "A" else 21] * n, perceived, replied, np.zeros(n), grades)
