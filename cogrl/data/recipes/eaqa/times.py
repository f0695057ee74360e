"""Times of a clip as targets write them: on a grid, around what is heard."""

import math
from collections.abc import Callable, Mapping, Sequence

from cogrl.formats.segments import CLOSED, OPENED
from cogrl.types import Span

GRID_S = 1.0
_NOTHING_S = 1e-9


def window(span: Span) -> Span:
    """The shortest part between two points of the grid that holds a span."""
    first = math.floor(span.start_s / GRID_S + _NOTHING_S)
    last = math.ceil(span.end_s / GRID_S - _NOTHING_S)
    return Span(first * GRID_S, last * GRID_S)


def written(span: Span) -> str:
    """`3, 5`, in seconds."""
    return f"{span.start_s:g}, {span.end_s:g}"


def tag(span: Span) -> str:
    """`<seg>3, 5</seg>`: the window of a span, cited."""
    return f"{OPENED}{written(window(span))}{CLOSED}"


def thought(pieces: Sequence[str | int], spans: Sequence[Span]) -> str:
    """Texts, and right behind a text, for the number of an item, the tag that cites its part of the clip."""
    texts = [f" {piece}" if isinstance(piece, str) else tag(spans[piece]) for piece in pieces]
    return "".join(texts).strip()


def times(sought: Sequence[tuple[str, Span]]) -> str:
    """`low 3, 5; knock 8, 9`."""
    return "; ".join(f"{cue} {written(window(span))}" for cue, span in sought)


def tags(sought: Sequence[tuple[str, Span]]) -> str:
    """`hear low<seg>3, 5</seg> hear knock<seg>8, 9</seg>`."""
    return " ".join(f"hear {cue}{tag(span)}" for cue, span in sought)


LISTS: Mapping[str, Callable[[Sequence[tuple[str, Span]]], str]] = {"when": times, "cite": tags}
"""By task: the answer that says when each of these, by their cues, is heard."""
