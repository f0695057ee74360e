"""The judge behind the empathy and step rewards: its requests, and how those of all terms are sent once a batch."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from cogrl.formats.answer import Answer
from cogrl.rewards.term import Term, Validates, Value
from cogrl.types import Emotion, Example


@dataclass(frozen=True)
class ReplyRequest:
    """How well does `reply` answer the words `text`, spoken with `emotion`? The scores are {"empathy": 1-4}.

    1: would fit unchanged if the emotion were reversed; 2: only the broad valence or arousal direction;
    3: right category but shallow; 4: right category plus the need beneath it or a fitting next step.
    """

    text: str
    emotion: Emotion
    reply: str


@dataclass(frozen=True)
class StepsRequest:
    """How good are these thought steps, (name, content) each? The scores are {name: score in [0, 1]}."""

    text: str
    emotion: Emotion
    scenario: str | None
    steps: tuple[tuple[str, str], ...]


Request = ReplyRequest | StepsRequest
JudgeScores = Mapping[str, float | int]
"""What a judge answers to one request: its scores by name."""


@runtime_checkable
class Judge(Protocol):
    """Scores replies and thoughts against the gold emotion of the audio. (arXiv:2606.06940, section 4)

    The gold emotion is part of a request on purpose: the wording alone does not carry it.
    """

    def judge(self, requests: Sequence[Request]) -> Sequence[JudgeScores | Exception]:
        """The scores for each request, in order, or why there are none. It is called once a batch."""
        ...


Asked = Sequence[Sequence[tuple[Judge, Request]]]
"""The judge requests of each answer, with their judges."""


class JudgeResults:
    """What each judge answered to each request of a batch: its scores, or the error in their place."""

    def __init__(self) -> None:
        self._outcomes: dict[tuple[int, Request], JudgeScores | Exception] = {}

    def add(self, judge: Judge, outcomes: Mapping[Request, JudgeScores | Exception]) -> None:
        self._outcomes |= {(id(judge), request): outcome for request, outcome in outcomes.items()}

    def of(self, judge: Judge, request: Request) -> JudgeScores:
        """The scores that `judge` gave; raises the error it gave instead."""
        outcome = self._outcomes[id(judge), request]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def ask_once(asked: Asked) -> JudgeResults:
    """Each judge is called once, with all its different requests. A judge that raises fails them all."""
    results, by_judge = JudgeResults(), {}
    for judge, request in (pair for row in asked for pair in row):
        by_judge.setdefault(id(judge), (judge, {}))[1][request] = None
    for judge, requests in by_judge.values():
        try:
            outcomes = judge.judge(list(requests))
            results.add(judge, dict(zip(requests, outcomes, strict=True)))
        except Exception as error:
            results.add(judge, dict.fromkeys(requests, error))
    return results


class JudgedTerm(Term):
    """A term whose value is a judge's. A reward asks for all its terms at once; see `ask_once`."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge

    @abstractmethod
    def request(self, answer: Answer) -> Request | None:
        """What the judge is asked about an answer; None when there is nothing to ask.

        Raises ValueError, naming the line, for an example whose answers can not be judged.
        """

    @abstractmethod
    def value(self, answer: Answer, scores: JudgeScores | None) -> float | int | None:
        """The value, given the judge's scores; None in their place where nothing was asked."""

    def requests(self, answers: Sequence[Answer]) -> Asked:
        found = (self.request(answer) for answer in answers)
        return [[] if request is None else [(self.judge, request)] for request in found]

    def values(self, answers: Sequence[Answer]) -> list[Value]:
        return self.graded(answers, ask_once(self.requests(answers)))

    def graded(self, answers: Sequence[Answer], results: JudgeResults) -> list[Value]:
        """The values of `answers` once the judge has been asked."""
        return [self._graded(answer, results) for answer in answers]

    def validate(self, example: Example) -> str | None:
        """Also the judge's own reason against the example."""
        if example.emotion is None:
            return "no emotion, which a judge has to know to grade an answer; add it to this line or leave the line out"
        if not example.text:
            return "no text, which a judge has to read to grade an answer; add it to this line or leave the line out"
        return self.judge.validate(example) if isinstance(self.judge, Validates) else None

    def _graded(self, answer: Answer, results: JudgeResults) -> Value:
        try:
            request = self.request(answer)
            return self.value(answer, None if request is None else results.of(self.judge, request))
        except Exception as error:
            return error


def known_emotion(example: Example) -> Emotion:
    """The gold emotion; ValueError for a line without one, where a judge would grade the words alone."""
    if example.emotion is None:
        raise ValueError(f"{example.where} ({example.id}): no emotion, which the judge has to know; leave it out")
    return example.emotion
