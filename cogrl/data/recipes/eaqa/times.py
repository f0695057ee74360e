"""Times of a clip as targets write them: on a grid, around what is heard."""

import math
from collections.abc import Sequence

from cogrl.formats.segments import CLOSED, OPENED
from cogrl.types import Span

GRID_S = 0.5
_NOTHING_S = 1e-9


def window(span: Span) -> Span:
    """The shortest part between two points of the grid that holds a span."""
    first = math.floor(span.start_s / GRID_S + _NOTHING_S)
    last = math.ceil(span.end_s / GRID_S - _NOTHING_S)
    return Span(first * GRID_S, last * GRID_S)


def written(span: Span) -> str:
    """`3.5, 4.5`, in seconds."""
    return f"{span.start_s:.1f}, {span.end_s:.1f}"


def thought(pieces: Sequence[str | int], spans: Sequence[Span]) -> str:
    """Texts, and for the number of an item the tag that cites its part of the clip."""
    tags = [piece if isinstance(piece, str) else f"{OPENED}{written(window(spans[piece]))}{CLOSED}" for piece in pieces]
    return " ".join(tags)
