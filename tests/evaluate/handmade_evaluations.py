"""Evaluations made by hand: what a policy would have answered, without a policy."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cogrl.evaluate.emotion import EVALUATED_FORMATS, Answers, Evaluation
from cogrl.types import EMOTIONS, Clip, Emotion, Example

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
    formats = {format: answers(clips, label, format, reply or label) for format in EVALUATED_FORMATS}
    by_format = {
        format: answers(clips, control or label, format, control or reply or label) for format in EVALUATED_FORMATS
    }
    return Evaluation(name, clips, formats, {name: by_format for name in ("transcript", "silence", "shuffled")})


def answers(clips: Sequence[Clip], label: Label, format: str = "eips", reply: Label | None = None) -> Answers:
    n = len(clips)
    perceived = [label(clip) if format == "eips" else None for clip in clips]
    grades = {"empathy": np.zeros(n), "format": np.ones(n)}
    replied = [(reply or label)(clip) for clip in clips]
    texts, tokens = ["-"] * n, [70 if format == "eips" else 21] * n
    return Answers(format, texts, tokens, texts, perceived, replied, np.zeros(n), grades)
