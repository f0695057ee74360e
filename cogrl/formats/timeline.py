"""Segments on the time line of a clip: their union, and how much of it two sets share."""

from collections.abc import Sequence

from cogrl.formats.segments import ROUNDING_S
from cogrl.types import Span


def union_s(spans: Sequence[Span]) -> float:
    """How many seconds lie in at least one of the segments."""
    total, reached = 0.0, 0.0
    for span in sorted(spans, key=lambda one: one.start_s):
        total += max(span.end_s - max(span.start_s, reached), 0.0)
        reached = max(reached, span.end_s)
    return total


def union_overlap(some: Sequence[Span], others: Sequence[Span]) -> float:
    """Intersection over union of what two sets of segments cover, in [0, 1]; 0 where both are empty."""
    both = union_s([*some, *others])
    return max(union_s(some) + union_s(others) - both, 0.0) / both if both else 0.0


def covers(spans: Sequence[Span], wanted: Sequence[Span]) -> bool:
    """Whether each of `wanted` lies within one of the segments, to `ROUNDING_S` seconds."""
    return all(
        any(span.start_s <= part.start_s + ROUNDING_S and part.end_s <= span.end_s + ROUNDING_S for span in spans)
        for part in wanted
    )


def parts_touched(spans: Sequence[Span], duration_s: float, parts: int = 10) -> list[bool]:
    """Of each of so many equal parts of a clip, whether a segment lies in it for more than `ROUNDING_S` seconds."""
    length = duration_s / parts
    return [
        any(min(span.end_s, (i + 1) * length) - max(span.start_s, i * length) > ROUNDING_S for span in spans)
        for i in range(parts)
    ]
