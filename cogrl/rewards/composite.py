"""Rewards made of terms: the weighted sum, the two of CogAudio-LLM, and the choice between them by format."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch

from cogrl.formats import format_named
from cogrl.rewards.emotion import emotion_reward
from cogrl.rewards.empathy import EmpathyReward
from cogrl.rewards.format import format_reward
from cogrl.rewards.judge import Judge, Selective
from cogrl.rewards.offline_judge import OfflineJudge
from cogrl.rewards.steps import StepReward
from cogrl.types import Example, Scores

RewardFn = Callable[[str, str, Example], float | None]
"""One term: a value in [0, 1], or None where it does not apply. It raises when it cannot tell; it never guesses 0."""

log = logging.getLogger(__name__)


@runtime_checkable
class Reward(Protocol):
    """Scores a batch: the three sequences have one entry for every completion."""

    def score(self, completions: Sequence[str], formats: Sequence[str], examples: Sequence[Example]) -> Scores: ...


class WeightedSum:
    """`sum(weights[name] * terms[name](...))` over the terms that apply. A weight of 0 only logs its term.

    A completion without a reply scores 0 in total. When a term raises, leaves [0, 1] or is not finite, the sample has
    failed: its total and its remaining terms are NaN and the error is logged once with the sample's id, for the stage
    to drop and count. The total is NaN, too, when no weighted term applies.

    Raises ValueError when there are no terms, when weights and terms differ in names, for a negative weight, or when
    all weights are 0; `score` raises RuntimeError when more than `max_failures` (a fraction) of a batch failed.
    """

    def __init__(self, terms: dict[str, RewardFn], weights: dict[str, float], max_failures: float = 0.1):
        if not terms:
            raise ValueError("empty reward group: give at least one term")
        if terms.keys() != weights.keys():
            raise ValueError(f"every term needs one weight: terms are {sorted(terms)}, weights are {sorted(weights)}")
        if min(weights.values()) < 0 or not sum(weights.values()) > 0:
            raise ValueError(f"weights must not be negative and must not all be 0, got {weights}")
        self.terms = terms
        self.weights = weights
        self.max_failures = max_failures

    def score(self, completions: Sequence[str], formats: Sequence[str], examples: Sequence[Example]) -> Scores:
        """The total and every term of each completion. Raises ValueError on sequences of different lengths."""
        table: list[dict[str, float]] = []
        totals: list[float] = []
        errors: list[Exception] = []
        for completion, format, example in zip(completions, formats, examples, strict=True):
            row: dict[str, float] = {}
            try:
                for name, term in self.terms.items():
                    row[name] = _value(term(completion, format, example), name)
                answer = format_named(format).answer(completion, example)
                totals.append(self._total(row) if answer else 0.0)
            except Exception as error:
                log.error("reward failed on sample %s (%s), format %s: %r", example.id, example.where, format, error)
                errors.append(error)
                totals.append(math.nan)
            table.append(row)
        if len(errors) > self.max_failures * len(totals):
            raise RuntimeError(
                f"the reward failed on {len(errors)} of {len(totals)} completions (max_failures={self.max_failures}); "
                "the first error is chained above"
            ) from errors[0]
        columns = {name: torch.tensor([row.get(name, math.nan) for row in table]) for name in self.terms}
        return Scores(torch.tensor(totals), columns)

    def refusal(self, example: Example) -> str | None:
        """The first reason that a term has; those of weight 0 are computed, too."""
        return _first_refusal(self.terms.values(), example)

    def _total(self, row: Mapping[str, float]) -> float:
        applicable = [name for name, value in row.items() if self.weights[name] and not math.isnan(value)]
        return sum(self.weights[name] * row[name] for name in applicable) if applicable else math.nan


class ExplicitReward(WeightedSum):
    """RF1 = 0.1 R_fmt + 0.3 EmoAcc + 0.1 (S_intent + S_psych + S_strategy) + 0.3 R_emp. (arXiv:2606.06940, Eq. 3)

    `judge` defaults to the offline one. `weights` overrides single weights by name.
    """

    def __init__(self, judge: Judge | None = None, weights: dict[str, float] | None = None, max_failures: float = 0.1):
        judge = judge or OfflineJudge()
        terms: dict[str, RewardFn] = {
            "format": format_reward,
            "emotion": emotion_reward,
            "intent": StepReward("Intent", judge),
            "psychology": StepReward("Psychology", judge),
            "strategy": StepReward("Strategy", judge),
            "empathy": EmpathyReward(judge),
        }
        paper = {"format": 0.1, "emotion": 0.3, "intent": 0.1, "psychology": 0.1, "strategy": 0.1, "empathy": 0.3}
        super().__init__(terms, paper | (weights or {}), max_failures)


class ImplicitReward(WeightedSum):
    """RF2 = R_emp. (arXiv:2606.06940, Eq. 4) `judge` defaults to the offline one. The format is logged, not paid."""

    def __init__(self, judge: Judge | None = None, max_failures: float = 0.1):
        terms: dict[str, RewardFn] = {"empathy": EmpathyReward(judge or OfflineJudge()), "format": format_reward}
        super().__init__(terms, {"empathy": 1.0, "format": 0.0}, max_failures)


class DualRouteReward:
    """R(o) = 1{A} RF1(o) + 1{B} RF2(o): `explicit` scores eips, `implicit` direct. (arXiv:2606.06940, Eq. 3-4)

    The terms are those of both; a term that the other format does not have is NaN there.
    """

    def __init__(self, explicit: Reward, implicit: Reward):
        self.by_format: dict[str, Reward] = {"eips": explicit, "direct": implicit}

    def score(self, completions: Sequence[str], formats: Sequence[str], examples: Sequence[Example]) -> Scores:
        """Both formats in one batch, in the order given. Raises ValueError on sequences of different lengths."""
        if not len(completions) == len(formats) == len(examples):
            raise ValueError(f"{len(completions)} completions, {len(formats)} formats, {len(examples)} examples")
        total = torch.full((len(formats),), math.nan)
        terms: dict[str, torch.Tensor] = {}
        for format, reward in self.by_format.items():
            rows = [i for i, name in enumerate(formats) if name == format]
            if not rows:
                continue
            part = reward.score([completions[i] for i in rows], [format] * len(rows), [examples[i] for i in rows])
            total[rows] = part.total
            for name, values in part.terms.items():
                terms.setdefault(name, torch.full((len(formats),), math.nan))[rows] = values
        return Scores(total, terms)

    def refusal(self, example: Example) -> str | None:
        """The first reason that either reward has; which format an example takes is not known before training."""
        return _first_refusal(self.by_format.values(), example)


def _first_refusal(parts: Iterable[object], example: Example) -> str | None:
    reasons = (part.refusal(example) for part in parts if isinstance(part, Selective))
    return next((reason for reason in reasons if reason), None)


def _value(value: float | int | None, name: str) -> float:
    if value is None:
        return math.nan
    if not 0 <= value <= 1:
        raise ValueError(f"term {name!r} gave {value!r}; terms lie in [0, 1]")
    return float(value)
