"""Which questions are worth training on: those a policy answers right sometimes, and not right on silence.

Questions whose sampled answers are all right, or all wrong, have no advantage in a group (the pass@k window of SARI,
arXiv:2504.15900); what is answered right on silence needs no audio (AudioMCQ, arXiv:2509.21060).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from cogrl.data.manifest import raise_all
from cogrl.evaluate.controls import silence
from cogrl.formats.choice import CHOICE
from cogrl.models.audio_lm import AudioLM
from cogrl.models.prompt_length import PromptBudget
from cogrl.progress import progress
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
    """By question: how many of the sampled answers were right, whether the one on silence was (None: not asked)."""

    examples: Sequence[Example]
    window: Window | None
    right: Sequence[int | None]
    right_on_silence: Sequence[bool | None]

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
        return found + ["right on silence"] * bool(self.right_on_silence[i])

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
                {"id": e.id, "right": right, "right_on_silence": hush, "kept": e.id in kept}
                for e, right, hush in zip(self.examples, self.right, self.right_on_silence, strict=True)
            ],
        }


def select(
    policy: AudioLM,
    clips: Sequence[Clip],
    window: Window | None,
    wrong_on_silence: bool,
    sampling: Sampling,
    seed: int = 0,
) -> Selection:
    """Asks every question: `window.k` sampled answers and, on two seconds of silence, a greedy one.

    Drawn by `seed`. Raises ValueError, `file:line (id)`, for lines without a question, choices and an answer, and for
    prompts that do not fit.
    """
    examples = [clip.example for clip in clips]
    _check(policy, examples, sampling.max_new_tokens)
    generator = torch.Generator(device=policy.lm_head_weight.device).manual_seed(seed)
    policy.eval()
    right: list[int | None] = [None] * len(clips)
    hushed: list[bool | None] = [None] * len(clips)
    if window is not None:
        right = _right(policy, clips, sampling, window.k, generator)
    if wrong_on_silence:
        greedy = Sampling(sampling.temperature, sampling.max_new_tokens, greedy=True)
        hushed = [bool(count) for count in _right(policy, clips, greedy, 1, generator, silent=True)]
    return Selection(examples, window, right, hushed)


def _right(
    policy: AudioLM,
    clips: Sequence[Clip],
    sampling: Sampling,
    k: int,
    generator: torch.Generator,
    silent: bool = False,
) -> list[int]:
    """How many of `k` answers to each question are right."""
    engine, size, counts = HFEngine(), max(1, _ROWS // k), []
    for start in progress(range(0, len(clips), size), "silence" if silent else "questions", unit="batch"):
        batch = clips[start : start + size]
        said = engine.sample(
            policy,
            batch,
            [CHOICE.name] * len(batch),
            sampling,
            group_size=k,
            inputs=silence(batch, policy.sampling_rate) if silent else None,
            generator=generator,
        )
        for place, clip in enumerate(batch):
            answers = said.texts[place * k : (place + 1) * k]
            counts.append(sum(CHOICE.answer(text, clip.example) == clip.example.answer for text in answers))
    return counts


def _check(policy: AudioLM, examples: Sequence[Example], max_new_tokens: int) -> None:
    budget, wrong = PromptBudget(policy), []
    for example in examples:
        missing = [name for name in ("question", "choices", "answer") if not getattr(example, name)]
        if missing:
            reason = f"no {missing[0]}, by which answers are filtered; add it to this line or leave the line out"
        else:
            reason = budget.overflow(example, [CHOICE.instruction(example)], max_new_tokens)
        if reason:
            wrong.append(f"{example.where} ({example.id}): {reason}")
    raise_all(wrong)
