"""The segments of an answer that count for its reward: those that were inserted, or those that its text cites."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from cogrl.formats.answer import Answer
from cogrl.formats.segments import SegmentRules, overlap
from cogrl.types import Example, Span


@dataclass(frozen=True)
class CountedSegments:
    """Which segments count.

    Args:
        of: `inserted` ones, or those that are `cited` by the `rules`, of a policy into whose answers none is inserted.
            A tag that the rules refuse is none, and neither is a segment that was there before. An inserted one counts
            if it was cited, too, before the answer: what a control inserts in its place does not.
        rules: of the segments that are cited; from `duplicate_iou` on an inserted one is one that was cited.
    """

    of: Literal["inserted", "cited"] = "inserted"
    rules: SegmentRules = field(default_factory=SegmentRules)

    def spans(self, answer: Answer) -> Sequence[Span]:
        """The segments of an answer that count, in their order."""
        if self.of == "inserted":
            return self._inserted(answer)
        citations = self.rules.citations(answer.text, answer.example.duration_s or 0.0)
        return [one.span for one in citations if one.span and not one.invalid]

    def _inserted(self, answer: Answer) -> Sequence[Span]:
        tags = self.rules.citations(answer.text, math.inf) if answer.spans else []
        cited = [tag.span for tag in tags if tag.span and tag.invalid != "answered"]
        return [part for part in answer.spans if any(overlap(part, one) >= self.rules.duplicate_iou for one in cited)]

    def validate(self, example: Example) -> str | None:
        """Why the segments of answers to `example` can not be counted; None when they can."""
        if self.of == "cited" and example.duration_s is None:
            return "no duration_s, without which no cited segment can be checked; add it to this line"
        return None
