"""What is asked and what comes back: questions, answers, failures, and what they cost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Question:
    """A system message with the orders, a user message with the material, and how the answer is read.

    `read` turns the text of an answer into a value and raises ValueError when it is unusable; the question is then
    asked again. `schema` is the JSON schema of the answer, for servers that can be held to one.
    """

    system: str
    user: str
    read: Callable[[str], Any]
    schema: Mapping[str, Any] | None = None
    name: str = "answer"

    @property
    def messages(self) -> list[dict[str, str]]:
        return [{"role": "system", "content": self.system}, {"role": "user", "content": self.user}]


@dataclass(frozen=True)
class Answer:
    """A usable answer. `seconds` runs from the first attempt to the last, 0 for one out of the cache."""

    value: Any
    cached: bool = False
    attempts: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Failure:
    """No usable answer. `error` is a TimeoutError, ConnectionError or ValueError that says why."""

    error: Exception
    attempts: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Prices:
    """What a million tokens cost, in any currency."""

    tokens_in: float = 0.0
    tokens_out: float = 0.0


@dataclass(frozen=True)
class Usage:
    """What a batch took. `requests` counts HTTP attempts, `unmetered` the replies that named no token counts."""

    answered: int = 0
    cached: int = 0
    failed: int = 0
    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    unmetered: int = 0
    cost: float = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __str__(self) -> str:
        text = (
            f"{self.answered} answered ({self.cached} of them cached), {self.failed} failed, {self.requests} requests"
        )
        text += f", {self.tokens_in} tokens in, {self.tokens_out} out"
        text += f", {self.unmetered} replies without counts" if self.unmetered else ""
        return text + (f", cost {self.cost:.4f}" if self.cost else "")


@dataclass(frozen=True)
class Replies:
    """One entry for each question, in order; `seconds` is what the caller waited."""

    entries: Sequence[Answer | Failure]
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
