"""The judge behind the empathy and step rewards: who reads a reply and says how good it is."""

from typing import Protocol, runtime_checkable

from cogrl.types import Emotion, Example


@runtime_checkable
class Judge(Protocol):
    """Scores one reply or one thought step against the gold emotion of the audio. (arXiv:2606.06940, section 4)

    The gold emotion is an input on purpose: the wording alone does not carry it. A judge that cannot answer raises.
    """

    def empathy(self, text: str, emotion: Emotion, reply: str) -> int:
        """Rubric score 1-4 of `reply` to the words `text` spoken with `emotion`.

        1: would fit unchanged if the emotion were reversed; 2: only the broad valence or arousal direction;
        3: right category but shallow; 4: right category plus the need beneath it or a fitting next step.
        """
        ...

    def step(self, name: str, emotion: Emotion, scenario: str | None, content: str) -> float:
        """Score in [0, 1] of the thought step `name` (Intent, Psychology or Strategy)."""
        ...


@runtime_checkable
class Selective(Protocol):
    """A reward, term or judge that can not grade answers to just any example; it is asked before any is sampled."""

    def refusal(self, example: Example) -> str | None:
        """Why answers to `example` can not be graded, and what to do; None when they can."""
        ...


def unjudgeable(judge: Judge, example: Example) -> str | None:
    """Why `judge` can not grade an answer to `example`, and what to do; None when it can."""
    if example.emotion is None:
        return "no emotion, which a judge has to know to grade an answer; add it to this line or leave the line out"
    if not example.text:
        return "no text, which a judge has to read to grade an answer; add it to this line or leave the line out"
    return judge.refusal(example) if isinstance(judge, Selective) else None
