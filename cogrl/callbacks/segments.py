"""Cited segments on the rollout page: what was inserted and cited of a clip, with players, and the invalid tags.

The players take the address of the clip that stands above them, with the times as a media fragment (W3C, Media
Fragments URI 1.0): a segment costs no byte of audio.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from cogrl.formats.segments import CLOSED, ROUNDING_S, SegmentRules
from cogrl.types import Rollouts, Span

FIELDS = ("inserted", "cited", "invalid")
SCRIPT = """<script>
for (const player of document.querySelectorAll("audio[data-segment]")) {
  player.src = player.closest("section").querySelector("audio").src + "#t=" + player.dataset.segment;
}
</script>"""
"""Gives each player of a segment its address, once the page is there."""


def segment_fields(rollouts: Rollouts, rules: SegmentRules, sampling_rate: int) -> list[dict[str, Any]]:
    """For each completion `inserted`, the `[start, end]` of what was inserted, `cited`, those of its valid tags, and
    `invalid`, its other tags as `[text, reason]`; times in seconds.

    Nothing for any completion where none cites and nothing was inserted: other recipes have no such columns.
    """
    if not any(rollouts.spans) and not any(CLOSED in text for text in rollouts.texts):
        return [{} for _ in rollouts.texts]
    found = []
    for row, (text, spans) in enumerate(zip(rollouts.texts, rollouts.spans, strict=True)):
        duration_s = len(rollouts.clips[row // rollouts.group_size].waveform) / sampling_rate
        citations = rules.citations(text, duration_s)
        valid = [citation.span for citation in citations if citation.span and not citation.invalid]
        refused = [[text[one.start : one.end], one.invalid] for one in citations if one.invalid]
        found.append({"inserted": _times(spans), "cited": _times(valid), "invalid": refused})
    return found


def segment_players(record: Mapping[str, Any]) -> str:
    """HTML: a player for each inserted segment, and for each that is validly cited and was not inserted; the other tags
    with the reason; '' for a record without segments."""
    inserted = record.get("inserted", [])
    only_cited = [times for times in record.get("cited", []) if not any(_same(times, other) for other in inserted)]
    lines = [
        _line("inserted", [player(*times) for times in inserted]),
        _line("cited, not inserted", [player(*times) for times in only_cited]),
        _line("invalid", [f"<code>{escape(tag)}</code> {reason}" for tag, reason in record.get("invalid", [])]),
    ]
    return "".join(lines)


def player(start_s: float, end_s: float) -> str:
    """A small player of a part of the clip, labelled by its times to hundredths of a second."""
    label = f"{round(start_s, 2):g}–{round(end_s, 2):g} s"
    return (
        f'<span class="segment"><audio controls preload="none" data-segment="{start_s:.4f},{end_s:.4f}"></audio> '
        f"{label}</span>"
    )


def _line(title: str, pieces: Sequence[str]) -> str:
    return f'<div class="note">{title}: {"; ".join(pieces)}</div>' if pieces else ""


def _same(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(abs(a - b) <= ROUNDING_S for a, b in zip(one, other, strict=True))


def _times(spans: Sequence[Span]) -> list[list[float]]:
    return [[span.start_s, span.end_s] for span in spans]
