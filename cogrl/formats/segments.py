"""Segments of the clip that a text cites to hear them again: `<seg>s, e</seg>`, in seconds. (Echo, arXiv:2602.11909)

One reading of a text, and one set of rules, for training targets, sampling, rewards and reports.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cogrl.types import Span

OPENED, CLOSED = "<seg>", "</seg>"
ROUNDING_S = 0.01
"""By how much a cited end may lie behind the clip's: times are written to hundredths of a second."""
_NOTHING_S = 1e-9
"""What a difference of decimal times may be off."""
_TAG = re.compile(r"<seg>|</seg>|<answer>")
_TIME = r"\s*([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*"
_TIMES = re.compile(f"{_TIME},{_TIME}")
InvalidReason = Literal[
    "malformed", "answered", "reversed", "outside", "too_short", "too_long", "duplicate", "too_many", "too_much"
]
"""Why a citation is not heard again."""


@dataclass(frozen=True)
class Citation:
    """One `</seg>` in a text, and the tag that it closes.

    `span` is None where no two times could be read, and `invalid` is None where the segment is heard again. `start` and
    `end` are the tag's places in the text, in characters.
    """

    span: Span | None
    invalid: InvalidReason | None
    start: int
    end: int


@dataclass(frozen=True)
class SegmentRules:
    """Which cited segments are heard again. No time is ever clamped, but for what rounding adds at the end: a segment
    is heard as cited, or it is refused.

    A refused tag stays in the text, and nothing is inserted. Refused is what has no two plain decimal times
    (`malformed`), stands behind the opened answer (`answered`), does not end after it starts (`reversed`), ends behind
    the clip (`outside`), is `too_short` or `too_long`, is a `duplicate` of one that was heard again, or would be one
    more than `most` (`too_many`) or than `total_s` (`too_much`). The first reason in this order is given.

    Args:
        min_s, max_s: the length of a segment, in seconds.
        duplicate_iou: from this intersection over union on, two segments are the same.
        most: segments of an answer that are heard again; the released code allows 7.
        total_s: their seconds in all.

    Raises ValueError for settings that no segment satisfies.
    """

    min_s: float = 0.2
    max_s: float = 10.0
    duplicate_iou: float = 0.8
    most: int = 7
    total_s: float = 30.0

    def __post_init__(self) -> None:
        if not 0 < self.min_s <= self.max_s or not 0 < self.duplicate_iou <= 1 or self.most < 1:
            raise ValueError(
                f"segments: min_s={self.min_s} must be positive and at most max_s={self.max_s}, duplicate_iou="
                f"{self.duplicate_iou} in (0, 1] and most={self.most} at least 1"
            )
        if self.total_s < self.min_s:
            raise ValueError(f"segments: total_s={self.total_s} is less than the shortest segment, min_s={self.min_s}")

    def citations(self, text: str, duration_s: float) -> list[Citation]:
        """Every `</seg>` in the text, in order, and whether it is heard again in a clip of `duration_s` seconds.

        What is decided of one does not depend on the text behind it.
        """
        found: list[Citation] = []
        opened, answered = None, False
        for tag in _TAG.finditer(text):
            if tag[0] == OPENED:
                opened = tag
            elif tag[0] == CLOSED:
                times = _TIMES.fullmatch(text, opened.end(), tag.start()) if opened else None
                span = Span(float(times[1]), float(times[2])) if times else None
                earlier = [one.span for one in found if one.span and not one.invalid]
                invalid = "answered" if span and answered else self.invalid_reason(span, duration_s, earlier)
                found.append(Citation(span, invalid, (opened or tag).start(), tag.end()))
                opened = None
            else:
                answered = True
        return found

    def decided(self, citation: Citation, duration_s: float, earlier: Sequence[Span]) -> Citation:
        """The citation as it is decided when exactly the segments in `earlier` were heard before it.

        That is what `citations` decides but where something that the rules allow was left out.
        """
        if citation.span is None or citation.invalid == "answered":
            return citation
        return replace(citation, invalid=self.invalid_reason(citation.span, duration_s, earlier))

    def outcomes(self, text: str, duration_s: float, inserted: Sequence[Span]) -> list[Citation]:
        """The citations of a finished answer, and whether each was heard again, which the segments in `inserted` were.

        One that the rules allow and that is not among them did not fit any more: it is `too_much`.
        """
        found: list[Citation] = []
        earlier: list[Span] = []
        for citation in self.citations(text, duration_s):
            decided = self.decided(citation, duration_s, earlier)
            if decided.invalid is None and decided.span in inserted[len(earlier) :][:1]:
                earlier.append(decided.span)
            elif decided.invalid is None:
                decided = replace(decided, invalid="too_much")
            found.append(decided)
        return found

    def invalid_reason(self, span: Span | None, duration_s: float, earlier: Sequence[Span]) -> InvalidReason | None:
        """Why a segment is not heard again after those in `earlier`; None when it is."""
        if span is None:
            return "malformed"
        length = span.duration_s
        reasons: dict[InvalidReason, bool] = {
            "reversed": length <= 0,
            "outside": span.end_s > duration_s + ROUNDING_S,
            "too_short": length < self.min_s - _NOTHING_S,
            "too_long": length > self.max_s + _NOTHING_S,
            "duplicate": any(overlap(span, other) >= self.duplicate_iou for other in earlier),
            "too_many": len(earlier) >= self.most,
            "too_much": sum(other.duration_s for other in earlier) + length > self.total_s + _NOTHING_S,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)


def overlap(one: Span, other: Span) -> float:
    """Intersection over union of two segments, in [0, 1]."""
    shared = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
    union = max(one.end_s, other.end_s) - min(one.start_s, other.start_s)
    return max(shared, 0.0) / union if union > 0 else 0.0
