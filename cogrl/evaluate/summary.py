"""A report in a few lines: what each policy scores, how that changes from one to the next, and where the rest is."""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from cogrl.evaluate.metrics import Figure
from cogrl.evaluate.tables import number, percent

SUMMARY = "summary.txt"
"""The name of the file."""
LINES, COLUMNS = 25, 100
"""The most that a summary has; paths alone may be longer, as a path that is cut is of no use."""
_NAME, _TITLE = 12, 20
"""The least room for a policy's name, and the longest title of a format."""

Shown = Callable[[Figure], str]
Columns = Mapping[str, tuple[str, Shown]]
"""By title, the figure of a column and how it is shown."""


def share(figure: Figure) -> str:
    """`14.3`, of a share, without its interval."""
    return percent(figure | {"low": None, "high": None})


def reward(figure: Figure) -> str:
    """`0.61 [0.58, 0.64]`"""
    return number(figure, 2)


_EMOTION: Columns = {
    "accuracy": ("emotion_accuracy", percent),
    "reward eips": ("reward_eips", reward),
    "reward direct": ("reward_direct", reward),
    "text only": ("emotion_accuracy_transcript", share),
    "silence": ("emotion_accuracy_silence", share),
}


def choice_columns(policies: Mapping[str, Mapping[str, Figure]]) -> Columns:
    """The accuracy in each format that questions were asked in, and in the first of them without the clip.

    Of a benchmark also that by its official rule.
    """
    names = dict.fromkeys(name for figures in policies.values() for name in figures)
    formats = [name.removesuffix("_unparsed") for name in names if name.endswith("_unparsed")]
    found = {shortened(format, _TITLE): (f"{format}_accuracy", percent) for format in formats}
    found["official rule"] = ("official_accuracy", percent)
    controls = {"question alone": "question", "silence": "silence"}
    found |= {title: (f"{formats[0]}_accuracy_{control}", share) for title, control in controls.items()}
    return {title: (name, show) for title, (name, show) in found.items() if name in names}


def summary(report: Mapping[str, Any], places: Mapping[str, str]) -> str:
    """At most `LINES` lines of at most `COLUMNS` columns, of what `report.json` holds.

    `places` says where to read on, by what is found there. Of more policies than there is room for the last ones are
    shown.
    """
    n, tables = report["n"], []
    if "clips" in n:
        chance = f"{100 / n['emotions']:.1f}"
        title = f"Emotion accuracy, % (chance {chance}), and rewards on {n['clips']} clips, with 95 % intervals;"
        tables.append((f"{title}\ntext only and silence: the accuracy without the voice", _EMOTION))
    if n.get("questions_scored"):
        title = f"Accuracy, %, on {n['questions_scored']} questions by how they are asked, with 95 % intervals"
        tables.append((title, choice_columns(report["policies"])))
    room = (LINES - len(places)) // max(1, len(tables)) - 5  # two lines of title, head, how many are left out, gap
    lines: list[str] = []
    for title, columns in tables:
        lines += [title, *table(report, columns, most=(room + 1) // 2), ""]
    width = max(map(len, places), default=0)
    lines += [f"{name:<{width}}  {place}" for name, place in places.items()]
    return "\n".join(lines) + "\n"


def table(report: Mapping[str, Any], columns: Columns, most: int) -> list[str]:
    """One line a policy of the last `most`, below all but the first of them the change from the one before."""
    policies, differences = report["policies"], report["differences"]
    names = [name for name in policies if next(iter(columns.values()))[0] in policies[name]]
    shown = names[-most:]
    rows = [["policy", *columns]]
    for before, name in zip([None, *shown], shown, strict=False):
        rows.append([name, *cells(policies[name], columns)])
        if before is not None:
            rows.append(["  change", *cells(differences[f"{name} - {before}"], columns)])
    left_out = len(names) - len(shown)
    return aligned(rows) + ([f"{left_out} earlier policies are in the full report"] if left_out else [])


def cells(figures: Mapping[str, Figure], columns: Columns) -> list[str]:
    return [show(figures[name]) if name in figures else "" for name, show in columns.values()]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows in columns as wide as their cells; a name that leaves no room for the others is cut in its middle.

    The last columns are left out where even so there is none.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ends = accumulate((2 + width for width in widths[1:]), initial=min(widths[0], _NAME))
    fitting = sum(end <= COLUMNS for end in ends)
    widths, rows = widths[:fitting], [row[:fitting] for row in rows]
    widths[0] = min(widths[0], COLUMNS - sum(2 + width for width in widths[1:]))
    cut = [[shortened(name, widths[0]), *rest] for name, *rest in rows]
    return ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in cut]


def shortened(text: str, width: int) -> str:
    """`text`, its middle replaced by `…` where it is longer than `width`."""
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}…{text[len(text) - end :]}"
