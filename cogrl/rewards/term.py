"""What one term of a reward is: values for a batch of answers, within bounds that it declares."""

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from cogrl.formats.answer import Answer
from cogrl.types import Example

Value = float | int | None | Exception
"""Of one answer: a number, None where the term does not apply, or why there is none. Nobody guesses 0."""
TermFunction = Callable[[Answer], float | None]
"""The simplest term: a function of one answer."""


class Term(ABC):
    """A term that sees a batch at once.

    `bounds` are the smallest and the largest value it may give; a value outside them is a failed sample.
    """

    bounds: tuple[float, float] = (0.0, 1.0)

    @abstractmethod
    def values(self, answers: Sequence[Answer]) -> Sequence[Value]:
        """One value for each answer, in order."""

    def notes(self, answers: Sequence[Answer]) -> Sequence[str] | None:
        """What the rollout table says about each answer beside its value, see `Scores.notes`; None for nothing.

        It is asked after `values`, about the same answers.
        """
        return None

    def validate(self, example: Example) -> str | None:
        """Why answers to `example` can not be graded, and what to do; None when they can."""
        return None


class EachAnswer(Term):
    """A function of one answer as a term.

    Its bounds are those that `bounded` gave it, else any finite number. What it raises is the value of that answer
    alone. Raises ValueError for a function that can not be called with one answer.
    """

    def __init__(self, function: TermFunction) -> None:
        name = getattr(function, "__qualname__", type(function).__name__)
        if not callable(function):
            raise ValueError(f"{function!r} is no reward term; give a function of one answer or a cogrl.rewards.Term")
        try:
            inspect.signature(function).bind(None)
        except TypeError as error:
            raise ValueError(
                f"{name}{inspect.signature(function)} can not be called with one answer ({error}); write it as "
                f"def {name.rpartition('.')[2]}(answer: cogrl.rewards.Answer) -> float | None"
            ) from error
        self.function = function
        self.bounds = getattr(function, "bounds", (-math.inf, math.inf))

    def values(self, answers: Sequence[Answer]) -> list[object]:
        return [self._value(answer) for answer in answers]

    def validate(self, example: Example) -> str | None:
        return self.function.validate(example) if isinstance(self.function, Validates) else None

    def _value(self, answer: Answer) -> object:
        try:
            return self.function(answer)
        except Exception as error:
            return error


def bounded(low: float, high: float) -> Callable[[TermFunction], TermFunction]:
    """Decorates a function of one answer: a value outside [low, high] is then a failed sample."""

    def mark(function: TermFunction) -> TermFunction:
        function.bounds = (low, high)
        return function

    return mark


def as_term(found: Term | TermFunction) -> Term:
    """A term as it is, a function wrapped. Raises ValueError for what is neither."""
    return found if isinstance(found, Term) else EachAnswer(found)


def checked(value: object, bounds: tuple[float, float]) -> float | Exception:
    """A value as a float, NaN for None; an exception for one that is no number, not finite or outside `bounds`."""
    if value is None:
        return math.nan
    if isinstance(value, Exception):
        return value
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if not isinstance(value, Real):
        return TypeError(f"it gave {value!r}, a {type(value).__name__}; give a number, or None where it does not apply")
    low, high = bounds
    if not math.isfinite(value) or not low <= value <= high:
        return ValueError(f"it gave {value!r}; its values are finite and lie in [{low}, {high}]")
    return float(value)


@runtime_checkable
class Validates(Protocol):
    """A reward, term or judge that can not grade answers to just any example; it is asked before any is sampled."""

    def validate(self, example: Example) -> str | None:
        """Why answers to `example` can not be graded, and what to do; None when they can."""
        ...


@runtime_checkable
class Counts(Protocol):
    """A reward that counts over batches; a run that was stopped counts on."""

    def counts(self) -> dict[str, Any]:
        """The counts so far, as plain data that no later batch changes."""
        ...

    def count_on(self, counts: Mapping[str, Any]) -> None:
        """Goes on from what `counts` gave."""
        ...


def first_reason(parts: Iterable[object], example: Example) -> str | None:
    """The first reason that one of `parts` has why answers to `example` can not be graded; None when there is none."""
    reasons = (part.validate(example) for part in parts if isinstance(part, Validates))
    return next((reason for reason in reasons if reason), None)
