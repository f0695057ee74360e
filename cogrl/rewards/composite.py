"""Rewards made of terms: the weighted sum, and the choice of a reward by format."""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch

from cogrl.formats.answer import Answer
from cogrl.rewards.judge import Asked, JudgedTerm, JudgeResults, ask_once
from cogrl.rewards.term import Term, as_term, checked, first_reason
from cogrl.types import Example, Scores

log = logging.getLogger(__name__)


@runtime_checkable
class Reward(Protocol):
    """Scores a batch of answers."""

    def score(self, answers: Sequence[Answer]) -> Scores:
        """One total and one value of each term for each answer, in order."""
        ...


class Composite(ABC):
    """A reward that collects the judge requests of its parts, so that each judge is asked once a batch."""

    def score(self, answers: Sequence[Answer]) -> Scores:
        """The total and every term of each answer, in the order given."""
        return self.graded(answers, ask_once(self.requests(answers)))

    @abstractmethod
    def requests(self, answers: Sequence[Answer]) -> Asked:
        """The judge requests of each answer, with their judges. Raises ValueError for lines that no judge can grade."""

    @abstractmethod
    def graded(self, answers: Sequence[Answer], results: JudgeResults) -> Scores:
        """The scores once the judges have been asked."""


class WeightedSum(Composite):
    """`sum(weights[name] * terms[name])` over the terms that apply to an answer. A weight of 0 only logs its term.

    A term is a `Term` or a plain function of one answer. When one raises, leaves its bounds or is not finite, the
    sample has failed: its total and that term are NaN and the error is logged with the sample's id, for the stage to
    drop and count. The total is NaN, too, when no weighted term applies.

    Args:
        terms: by name; the name is the one in the logs and in the rollout table.
        weights: one for each term. They are not negative: a penalty is a term with negative values.
        max_failures: the share of a batch that may fail; with more, `score` raises RuntimeError.
        unanswered: the total of an answer in which nothing is said, whatever its terms are worth; None: as of any
            other, the weighted sum.

    Raises ValueError when there are no terms, when weights and terms differ in names, for a negative weight, when all
    weights are 0, and for a function that does not take one answer.
    """

    def __init__(
        self,
        terms: dict[str, Term | Callable[[Answer], float | None]],
        weights: dict[str, float],
        max_failures: float = 0.1,
        unanswered: float | None = None,
    ) -> None:
        if not terms:
            raise ValueError("empty reward group: give at least one term")
        if terms.keys() != weights.keys():
            raise ValueError(f"every term needs one weight: terms are {sorted(terms)}, weights are {sorted(weights)}")
        if min(weights.values()) < 0 or not sum(weights.values()) > 0:
            raise ValueError(f"weights must not be negative and must not all be 0, got {weights}")
        self.terms = {name: as_term(term) for name, term in terms.items()}
        self.weights, self.max_failures, self.unanswered = weights, max_failures, unanswered

    def requests(self, answers: Sequence[Answer]) -> Asked:
        judged = [term.requests(answers) for term in self.terms.values() if isinstance(term, JudgedTerm)]
        return [[pair for row in rows for pair in row] for rows in zip(*judged, strict=True)] or [[] for _ in answers]

    def graded(self, answers: Sequence[Answer], results: JudgeResults) -> Scores:
        table = {name: self._column(name, answers, results) for name in self.terms}
        totals, errors = [], []
        for i, answer in enumerate(answers):
            row = {name: column[i] for name, column in table.items()}
            failed = next(((name, value) for name, value in row.items() if isinstance(value, Exception)), None)
            if failed is None:
                totals.append(self._total(row) if answer.said or self.unanswered is None else self.unanswered)
                continue
            place = f"sample {answer.example.id} ({answer.example.where}), format {answer.format}"
            message = f"reward term {failed[0]!r} failed on {place}: {failed[1]!r}"
            log.error(message)
            errors.append((message, failed[1]))
            totals.append(math.nan)
        if len(errors) > self.max_failures * len(totals):
            raise RuntimeError(
                f"the reward failed on {len(errors)} of {len(totals)} completions (max_failures={self.max_failures}); "
                f"first: {errors[0][0]}"
            ) from errors[0][1]
        if totals and not errors and all(map(math.isnan, totals)):
            log.warning("no weighted term of %s applies to any of %d completions", sorted(self.terms), len(totals))
        columns = {
            name: torch.tensor([math.nan if isinstance(value, Exception) else value for value in column])
            for name, column in table.items()
        }
        notes = {name: term.notes(answers) for name, term in self.terms.items()}
        return Scores(
            torch.tensor(totals), columns, notes={name: texts for name, texts in notes.items() if texts is not None}
        )

    def validate(self, example: Example) -> str | None:
        """The first reason that a term has; those of weight 0 are computed, too."""
        return first_reason(self.terms.values(), example)

    def _column(self, name: str, answers: Sequence[Answer], results: JudgeResults) -> list[float | Exception]:
        term = self.terms[name]
        values = term.graded(answers, results) if isinstance(term, JudgedTerm) else term.values(answers)
        if len(values) != len(answers):
            raise ValueError(f"term {name!r} gave {len(values)} values for {len(answers)} answers; one for each")
        return [checked(value, term.bounds) for value in values]

    def _total(self, row: Mapping[str, float]) -> float:
        applicable = [name for name, value in row.items() if self.weights[name] and not math.isnan(value)]
        return sum(self.weights[name] * row[name] for name in applicable) if applicable else math.nan


class ByFormat(Composite):
    """A reward for each format, by name: R(o) = sum over formats of 1{o has the format} R_format(o).

    The terms are those of all; a term that the reward of an answer's format does not have is NaN there. Raises
    ValueError without a reward; `score` raises ValueError for an answer in a format that none is given for.
    """

    def __init__(self, rewards: dict[str, Reward | Callable[[Answer], float | None]]) -> None:
        if not rewards:
            raise ValueError("no reward for any format: give at least one, such as {direct: ...}")
        self.rewards = {name: as_reward(reward) for name, reward in rewards.items()}

    def requests(self, answers: Sequence[Answer]) -> Asked:
        asked = [[] for _ in answers]
        for reward, rows in self._parts(answers):
            if isinstance(reward, Composite):
                for i, row in zip(rows, reward.requests([answers[i] for i in rows]), strict=True):
                    asked[i] = row
        return asked

    def graded(self, answers: Sequence[Answer], results: JudgeResults) -> Scores:
        total = torch.full((len(answers),), math.nan)
        terms: dict[str, torch.Tensor] = {}
        metrics: dict[str, float] = {}
        notes: dict[str, list[str]] = {}
        for reward, rows in self._parts(answers):
            mine = [answers[i] for i in rows]
            part = reward.graded(mine, results) if isinstance(reward, Composite) else reward.score(mine)
            total[rows] = part.total
            for name, values in part.terms.items():
                terms.setdefault(name, torch.full((len(answers),), math.nan))[rows] = values
            metrics |= part.metrics
            for name, texts in part.notes.items():
                for row, text in zip(rows, texts, strict=True):
                    notes.setdefault(name, [""] * len(answers))[row] = text
        return Scores(total, terms, metrics, notes)

    def validate(self, example: Example) -> str | None:
        """The first reason that any reward has; which format an example is asked for is not known before training."""
        return first_reason(self.rewards.values(), example)

    def _parts(self, answers: Sequence[Answer]) -> list[tuple[Reward, list[int]]]:
        """Each reward with the places of its answers; those without any are left out."""
        unknown = sorted({answer.format for answer in answers} - self.rewards.keys())
        if unknown:
            raise ValueError(f"no reward for answers in format {unknown[0]!r}; ByFormat has {', '.join(self.rewards)}")
        rows = {name: [i for i, answer in enumerate(answers) if answer.format == name] for name in self.rewards}
        return [(reward, rows[name]) for name, reward in self.rewards.items() if rows[name]]


def as_reward(found: Reward | Callable[[Answer], float | None]) -> Reward:
    """A reward as it is; a function of one answer becomes a weighted sum of that term alone, under its own name."""
    if isinstance(found, Reward):
        return found
    name = getattr(found, "__name__", type(found).__name__)
    return WeightedSum({name: found}, {name: 1.0})
