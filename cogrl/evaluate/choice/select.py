"""Which questions are worth training on: those a policy answers right sometimes, with the audio and not without.

Questions whose sampled answers are all right, or all wrong, have no advantage in a group (the pass@k window of SARI,
arXiv:2504.15900); what is answered right on silence needs no audio (AudioMCQ, arXiv:2509.21060). The audio contributes
to a question that is answered right with it and wrong on silence.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from cogrl.data.errors import raise_all
from cogrl.evaluate.controls import silence
from cogrl.formats import format_named
from cogrl.formats.answer import read_answer
from cogrl.formats.choice import CHOICE
from cogrl.models.audio_lm import AudioLM
from cogrl.models.prompt_length import PromptBudget
from cogrl.progress import progress
from cogrl.rewards.accuracy import Accuracy
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling
from cogrl.types import Clip, Example

_ROWS = 32
"""Answers that are sampled at once."""


@dataclass(frozen=True)
class Window:
    """Of `k` sampled answers at least `least` and at most `most` are right. Raises ValueError for an empty window."""

    k: int
    least: int
    most: int

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most <= self.k or self.k < 1:
            raise ValueError(f"--pass-at-k {self.k} --min {self.least} --max {self.most}: needs 0 <= min <= max <= k")


@dataclass(frozen=True)
class Selection:
    """By question: how many of the sampled answers were right, whether the greedy ones were, on silence and with audio.

    None where it was not asked.
    """

    examples: Sequence[Example]
    window: Window | None
    right: Sequence[int | None]
    right_on_silence: Sequence[bool | None]
    right_with_audio: Sequence[bool | None]

    @property
    def kept(self) -> list[Example]:
        """The questions that pass what was asked for."""
        return [example for i, example in enumerate(self.examples) if not self.reasons(i)]

    def reasons(self, i: int) -> list[str]:
        """Why question `i` is left out; empty where it is kept."""
        found, right = [], self.right[i]
        if self.window is not None and right is not None:
            found += ["too few answers are right"] * (right < self.window.least)
            found += ["too many answers are right"] * (right > self.window.most)
        found += ["right on silence"] * bool(self.right_on_silence[i])
        return found + ["wrong with the audio"] * (self.right_with_audio[i] is False)

    def report(self) -> dict[str, Any]:
        """Counts over all and by task, and what each question got."""
        kept, reasons = {example.id for example in self.kept}, Counter[str]()
        for i in range(len(self.examples)):
            reasons.update(self.reasons(i))
        asked = Counter(example.task or "" for example in self.examples)
        passed = Counter(example.task or "" for example in self.kept)
        counts = Counter(right for right in self.right if right is not None)
        return {
            "asked": len(self.examples),
            "kept": len(kept),
            "left_out": dict(reasons),
            "right_answers": {str(count): counts[count] for count in sorted(counts)},
            "tasks": {task: {"asked": asked[task], "kept": passed[task]} for task in sorted(asked)},
            "questions": [
                {"id": e.id, "right": right, "right_on_silence": hush, "right_with_audio": audio, "kept": e.id in kept}
                for e, right, hush, audio in zip(
                    self.examples, self.right, self.right_on_silence, self.right_with_audio, strict=True
                )
            ],
        }


def select(
    policy: AudioLM,
    clips: Sequence[Clip],
    window: Window | None,
    wrong_on_silence: bool,
    sampling: Sampling,
    seed: int = 0,
    accuracy: Accuracy | None = None,
    right_with_audio: bool = False,
    format: str = CHOICE.name,
) -> Selection:
    """Asks every question in `format`: `window.k` sampled answers and, on two seconds of silence, a greedy one.

    With `right_with_audio` a greedy one with the audio as well, and where it is wrong the question is left out. Drawn
    by `seed`. An open answer is right where `accuracy` gives it 1. Raises ValueError, `file:line (id)`, for lines
    without a question and an answer that can be compared, and for prompts that do not fit.
    """
    examples, accuracy = [clip.example for clip in clips], accuracy or Accuracy()
    _check(policy, examples, sampling.max_new_tokens, accuracy, format)
    generator = torch.Generator(device=policy.lm_head_weight.device).manual_seed(seed)
    policy.eval()
    right: list[int | None] = [None] * len(clips)
    hushed: list[bool | None] = [None] * len(clips)
    answered: list[bool | None] = [None] * len(clips)
    greedy = Sampling(sampling.temperature, sampling.max_new_tokens, greedy=True)
    if window is not None:
        right = _right(policy, clips, sampling, window.k, generator, accuracy, format)
    if wrong_on_silence:
        counts = _right(policy, clips, greedy, 1, generator, accuracy, format, silent=True)
        hushed = [bool(count) for count in counts]
    if right_with_audio:
        answered = [bool(count) for count in _right(policy, clips, greedy, 1, generator, accuracy, format)]
    return Selection(examples, window, right, hushed, answered)


def _right(
    policy: AudioLM,
    clips: Sequence[Clip],
    sampling: Sampling,
    k: int,
    generator: torch.Generator,
    accuracy: Accuracy,
    format: str,
    silent: bool = False,
) -> list[int]:
    """How many of `k` answers to each question are right."""
    engine, size, counts = HFEngine(), max(1, _ROWS // k), []
    for start in progress(range(0, len(clips), size), "silence" if silent else "questions", unit="batch"):
        batch = clips[start : start + size]
        said = engine.sample(
            policy,
            batch,
            [format] * len(batch),
            sampling,
            group_size=k,
            inputs=silence(batch, policy.sampling_rate) if silent else None,
            generator=generator,
        )
        for place, clip in enumerate(batch):
            texts = said.texts[place * k : (place + 1) * k]
            values = accuracy.values([read_answer(text, format, clip.example) for text in texts])
            counts.append(values.count(1.0))
    return counts


def _check(policy: AudioLM, examples: Sequence[Example], max_new_tokens: int, accuracy: Accuracy, format: str) -> None:
    budget, asked, wrong = PromptBudget(policy), format_named(format), []
    for example in examples:
        reason = asked.validate(example) or accuracy.validate(example)
        reason = reason or budget.overflow(example, [asked.instruction(example)], max_new_tokens)
        if reason:
            wrong.append(f"{example.where} ({example.id}): {reason}")
    raise_all(wrong)
