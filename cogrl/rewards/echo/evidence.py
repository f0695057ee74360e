"""Segments against those in which the answer is heard, and what they cost: options beside the paper's reward."""

from collections.abc import Sequence

from cogrl.formats.answer import Answer
from cogrl.formats.timeline import union_overlap, union_s
from cogrl.rewards.echo.cited import CountedSegments
from cogrl.rewards.term import Term
from cogrl.types import Example


class SegmentOverlap(Term):
    """Intersection over union of the segments of an answer and the line's `evidence`, in [0, 1].

    Args:
        segments: which of them count.
    """

    def __init__(self, segments: CountedSegments | None = None) -> None:
        self.segments = segments or CountedSegments()

    def values(self, answers: Sequence[Answer]) -> list[float]:
        return [union_overlap(self.segments.spans(answer), answer.example.evidence) for answer in answers]

    def validate(self, example: Example) -> str | None:
        """Also a line that does not say where its answer is heard."""
        if not example.evidence:
            return "no evidence, the segments in which the answer is heard; add it to this line or leave the term out"
        return self.segments.validate(example)


class SegmentPrice(Term):
    """-1 for each second of the clip that is heard again beyond `free_s`, down to `lowest`; a second twice counts once.

    Args:
        free_s: seconds that cost nothing.
        lowest: the least value.
        segments: which of them count.

    Raises ValueError unless free_s is not negative and lowest is.
    """

    def __init__(self, free_s: float = 0.0, lowest: float = -1.0, segments: CountedSegments | None = None) -> None:
        if free_s < 0 or lowest >= 0:
            raise ValueError(f"free_s={free_s} must not be negative and lowest={lowest} must be below 0")
        self.free_s, self.bounds, self.segments = free_s, (lowest, 0.0), segments or CountedSegments()

    def values(self, answers: Sequence[Answer]) -> list[float]:
        return [self._value(union_s(self.segments.spans(answer))) for answer in answers]

    def validate(self, example: Example) -> str | None:
        return self.segments.validate(example)

    def _value(self, seconds: float) -> float:
        return max(self.bounds[0], min(0.0, self.free_s - seconds))
