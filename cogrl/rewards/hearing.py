"""Two judges of one completion: the first notes what it is asked, the second knows the answers.

Between them all completions of a batch can be asked about at once, without any term knowing about it.
"""

from collections.abc import Sequence

from cogrl.chat.question import Answer, Failure, Question
from cogrl.rewards.rubric import empathy_question, steps_question
from cogrl.types import Emotion, Example


class Hearing:
    """Notes what the terms ask about a completion; its own scores mean nothing."""

    def __init__(self) -> None:
        self.reply: str | None = None
        self.steps: dict[str, str] = {}

    def empathy(self, text: str, emotion: Emotion, reply: str) -> int:
        self.reply = reply
        return 1

    def step(self, name: str, emotion: Emotion, scenario: str | None, content: str) -> float:
        self.steps[name] = content
        return 0.0

    def questions(self, example: Example) -> list[Question]:
        """What there is to ask: about the reply, about the steps, both or nothing.

        Raises ValueError for a line without an emotion: without it the judge would grade the words alone.
        """
        text, emotion = example.text, example.emotion
        if emotion is None:
            raise ValueError(f"{example.where} ({example.id}): no emotion, which the judge has to know; leave it out")
        about_reply = [empathy_question(text, emotion, self.reply)] if self.reply is not None else []
        about_steps = [steps_question(text, emotion, example.scenario, self.steps)] if self.steps else []
        return about_reply + about_steps


class Verdict:
    """Knows the replies to a hearing's questions. Asked for a score it did not get, it raises the reason."""

    def __init__(self, entries: Sequence[Answer | Failure]) -> None:
        self.entries = list(entries)
        self.failures = [entry for entry in entries if isinstance(entry, Failure)]
        self.scores: dict[str, int] = {}
        for entry in entries:
            if isinstance(entry, Answer):
                self.scores |= entry.value

    def empathy(self, text: str, emotion: Emotion, reply: str) -> int:
        return self._score("empathy")

    def step(self, name: str, emotion: Emotion, scenario: str | None, content: str) -> float:
        return (self._score(name) - 1) / 3

    def _score(self, name: str) -> int:
        if name not in self.scores:
            raise self.failures[0].error
        return self.scores[name]
