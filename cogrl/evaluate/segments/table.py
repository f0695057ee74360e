"""The tables of cited segments, and what of them is kept of each answer."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from cogrl.evaluate.choice.answers import ChoiceAnswers
from cogrl.evaluate.metrics import Figure
from cogrl.evaluate.segments.cited import CitingAnswer
from cogrl.evaluate.segments.figures import AT_LEAST, REASONS, TENTHS
from cogrl.evaluate.summary import share
from cogrl.evaluate.tables import number, percent
from cogrl.markdown import markdown_table
from cogrl.types import Span

Figures = Mapping[str, Mapping[str, Figure]]
Columns = Mapping[str, tuple[str, Callable[[Figure], str]]]
"""By figure, the title of its column and how it is shown."""
_hundredths, _tenths, _whole = (partial(number, digits=digits) for digits in (2, 1, 0))
_AMOUNTS: Columns = {
    "tags": ("tags", _hundredths),
    "cited": ("valid", _hundredths),
    "inserted": ("clips inserted", _hundredths),
    "cited_seconds": ("cited, s", _hundredths),
    "inserted_seconds": ("inserted, s", _hundredths),
    "audio_tokens": ("audio tokens", _tenths),
    "inserted_tokens": ("tokens inserted", _tenths),
    "ms": ("ms", _whole),
}
_AIM: Columns = {
    "cited_hit": ("cited: hit, %", percent),
    "cited_iou": ("cited: IoU, %", percent),
    "inserted_hit": ("inserted: hit, %", percent),
    "inserted_iou": ("inserted: IoU, %", percent),
    "cited_overlap": ("cited: overlap, %", percent),
    "inserted_overlap": ("inserted: overlap, %", percent),
    "accuracy_hit": ("accuracy where hit, %", percent),
    "accuracy_missed": ("accuracy where missed, %", percent),
}
_SPREAD: Columns = {f"at_least_{n}": (f"{n} or more, %", percent) for n in AT_LEAST}
_SPREAD |= {"cited_coverage": ("of the clip, %", percent)}
_SPREAD |= {f"tenth_{n}": (f"tenth {n}, %", share) for n in TENTHS}


def segments_table(
    asked: Sequence[ChoiceAnswers], figures: Figures, differences: Mapping[str, Mapping[str, Figure]]
) -> str:
    """What the answers of those that cite do cite: one row a policy and format in each table, and `differences`."""
    found = [figures[answers.name] for answers in asked]
    names = [f"{answers.format}_segments_invalid_" for answers in asked]
    seen = [reason for reason in REASONS if any(m[f"{n}{reason}"]["mean"] for m, n in zip(found, names, strict=True))]
    tables = {
        "What the answers cite of their clips, and what was inserted: means an answer.": _AMOUNTS,
        "How much of the evidence of their lines the segments hit, and how they overlap.": _AIM,
        "Answers with so many valid tags, the share of the clip that they cite, and where in it.": _SPREAD,
    }
    if seen:
        title = "Invalid tags an answer, by reason: each stays in the text, and nothing is inserted for it."
        tables[title] = {f"invalid_{reason}": (reason, number) for reason in seen}
    text = "\n".join(f"{title}\n\n{_table(asked, figures, columns)}" for title, columns in tables.items())
    for pair, by_format in differences.items():
        for name, figure in by_format.items():
            gain = f"{percent(figure)} points of accuracy"
            text += f"- re-listening: {pair.replace(' - ', ' minus ')}, {name.removesuffix('_accuracy')}: {gain}\n"
    return text


def _table(asked: Sequence[ChoiceAnswers], figures: Figures, columns: Columns) -> str:
    rows = []
    for answers in asked:
        m, start = figures[answers.name], f"{answers.format}_segments_"
        rows.append([answers.name, answers.format, *(show(m[start + name]) for name, (_, show) in columns.items())])
    return markdown_table(["policy", "asked in", *(title for title, _ in columns.values())], rows)


def segment_record(one: CitingAnswer) -> dict[str, Any]:
    """What is kept of an answer beside its text, times in seconds; `hit` and `iou` are None without evidence.

    `hit`, `iou` and `coverage` (which tenths of the clip) are of the valid tags, `inserted_hit` and `inserted_iou` of
    what was inserted; `seconds` is the length of that.
    """
    return {
        "spans": _times(one.inserted.spans),
        "cited": _times(one.cited.spans),
        "invalid": dict(one.invalid),
        "evidence": _times(one.example.evidence),
        "hit": _known(one.cited.hit),
        "iou": _known(one.cited.iou),
        "inserted_hit": _known(one.inserted.hit),
        "inserted_iou": _known(one.inserted.iou),
        "seconds": one.inserted.seconds,
        "clips": one.sampled.clips,
        "audio_tokens": one.sampled.audio_tokens,
        "inserted_tokens": one.sampled.inserted_tokens,
        "coverage": one.cited.tenths,
        "ms": one.sampled.ms,
    }


def _times(spans: Sequence[Span]) -> list[list[float]]:
    return [[span.start_s, span.end_s] for span in spans]


def _known(value: float) -> float | None:
    return None if value != value else value
