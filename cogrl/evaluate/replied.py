"""Which emotion does a reply answer? The accuracy of route B, which names no label, and of route A's reply."""

from collections.abc import Sequence
from functools import cache

from cogrl.rewards.judge import Judge
from cogrl.types import EMOTIONS, Emotion


def replied_emotions(judge: Judge, texts: Sequence[str], replies: Sequence[str]) -> list[Emotion | None]:
    """For each reply the emotion it fits best: the judge's empathy rubric is asked for all seven, the highest wins.

    None for an empty reply, for a tie, and where no emotion reaches 3 (the right category). The gold label plays no
    part, so that a reply which suits everything earns nothing. Seven judgements a distinct (text, reply).
    """

    @cache
    def best(text: str, reply: str) -> Emotion | None:
        scores = {emotion: judge.empathy(text, emotion, reply) for emotion in EMOTIONS} if reply else {}
        top = [emotion for emotion, score in scores.items() if score >= 3 and score == max(scores.values())]
        return top[0] if len(top) == 1 else None

    return [best(text, reply) for text, reply in zip(texts, replies, strict=True)]
