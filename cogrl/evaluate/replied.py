"""Which emotion does a reply answer? The accuracy of direct, which names no label, and of eips's reply."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from cogrl.evaluate.grades import grades
from cogrl.formats.answer import read_answer
from cogrl.rewards.composite import Reward
from cogrl.types import EMOTIONS, Emotion, Example

_RIGHT_CATEGORY = 2 / 3  # 3 on the rubric of 1-4


def replied_emotions(reward: Reward, examples: Sequence[Example], replies: Sequence[str]) -> list[Emotion | None]:
    """For each reply the emotion it fits best: the reward's `empathy` term is asked for all seven, the highest wins.

    None for an empty reply or one with markup in it, for a tie, where no emotion reaches 2/3 (the right category), and
    where a grade failed. The gold label plays no part, so that a reply which suits every emotion is not counted as
    right. Seven grades a distinct (text, reply).
    """
    distinct = {(example.text, reply): example for example, reply in zip(examples, replies, strict=True) if reply}
    asked = [(text_and_reply[1], example) for text_and_reply, example in distinct.items() for _ in EMOTIONS]
    spoken = [replace(example, emotion=EMOTIONS[i % len(EMOTIONS)]) for i, (_, example) in enumerate(asked)]
    answers = [read_answer(reply, "direct", example) for (reply, _), example in zip(asked, spoken, strict=True)]
    found = grades(reward, answers).terms["empathy"]
    best = dict(zip(distinct, map(_best, found.view(len(distinct), len(EMOTIONS))), strict=True))
    return [best.get((example.text, reply)) for example, reply in zip(examples, replies, strict=True)]


def _best(empathy: torch.Tensor) -> Emotion | None:
    top = (empathy == empathy.max()).nonzero().flatten().tolist()
    sure = bool(empathy.isfinite().all()) and float(empathy.max()) > _RIGHT_CATEGORY - 1e-6
    return EMOTIONS[top[0]] if sure and len(top) == 1 else None
