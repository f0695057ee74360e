"""One answer that cites segments of its clip: which are valid, which were inserted, and what both cover."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from cogrl.evaluate.choice.answers import ChoiceAnswers
from cogrl.evaluate.choice.sampled import SampledAnswer
from cogrl.formats.segments import CLOSED, Citation, SegmentRules, overlap
from cogrl.formats.timeline import covers, parts_touched, union_overlap, union_s
from cogrl.types import Example, Span

ECHO = "echo"
"""The format that asks for cited segments; an answer in another one may cite, too."""


@dataclass(frozen=True)
class Segments:
    """Segments of one clip, held against the evidence of its line."""

    spans: Sequence[Span]
    clip_s: float
    evidence: Sequence[Span]

    @property
    def seconds(self) -> float:
        """Their lengths in all."""
        return float(sum(span.duration_s for span in self.spans))

    @property
    def overlap(self) -> float:
        """The mean intersection over union of two of them; NaN of fewer than two."""
        pairs = [overlap(*pair) for pair in combinations(self.spans, 2)]
        return float(np.mean(pairs)) if pairs else math.nan

    @property
    def hit(self) -> float:
        """1.0 where every part of the evidence lies within one of them; NaN where the line has no evidence."""
        return float(covers(self.spans, self.evidence)) if self.evidence else math.nan

    @property
    def iou(self) -> float:
        """Intersection over union of what they and the evidence cover; NaN where the line has no evidence."""
        return union_overlap(self.spans, self.evidence) if self.evidence else math.nan

    @property
    def coverage(self) -> float:
        """The share of the clip that they cover."""
        return min(union_s(self.spans) / self.clip_s, 1.0) if self.clip_s else 0.0

    @property
    def tenths(self) -> list[bool]:
        """Of each tenth of the clip, whether one of them lies in it."""
        return parts_touched(self.spans, self.clip_s)


@dataclass(frozen=True, eq=False)
class CitingAnswer:
    """An answer, every tag in its own text, and what was inserted into it."""

    example: Example
    citations: Sequence[Citation]
    sampled: SampledAnswer

    @cached_property
    def cited(self) -> Segments:
        """The segments of its valid tags."""
        valid = [citation.span for citation in self.citations if citation.span and not citation.invalid]
        return Segments(valid, self.sampled.clip_s, self.example.evidence)

    @cached_property
    def inserted(self) -> Segments:
        """The parts of its clip that were inserted, whatever was cited."""
        return Segments(self.sampled.spans, self.sampled.clip_s, self.example.evidence)

    @cached_property
    def invalid(self) -> Counter[str]:
        """Its invalid tags by reason."""
        return Counter(citation.invalid for citation in self.citations if citation.invalid)


def citing_answer(example: Example, sampled: SampledAnswer, rules: SegmentRules) -> CitingAnswer:
    """The answer with its tags read by `rules`."""
    return CitingAnswer(example, rules.citations(sampled.text, sampled.clip_s), sampled)


def citing(answers: ChoiceAnswers) -> list[CitingAnswer]:
    """Each answer with what it cites; empty where none does, nothing was inserted and the format does not ask for it.

    Empty also where it is not known how the answers came about.
    """
    sampled = answers.sampled
    if answers.format != ECHO and not any(one.clips or CLOSED in one.text for one in sampled):
        return []
    pairs = zip(answers.examples, sampled, strict=True) if sampled else ()
    return [citing_answer(example, one, answers.rules) for example, one in pairs]
