"""The figures of one policy's cited segments: how many, where, how right, and what they cost."""

from collections.abc import Sequence
from typing import get_args

import numpy as np

from cogrl.evaluate.choice.answers import ChoiceAnswers, difference
from cogrl.evaluate.groups import cell
from cogrl.evaluate.metrics import Figure, mean_figure
from cogrl.evaluate.segments.cited import CitingAnswer
from cogrl.formats.segments import InvalidReason

REASONS: tuple[InvalidReason, ...] = get_args(InvalidReason)
KINDS = ("cited", "inserted")
MEASURES = ("seconds", "overlap", "hit", "iou", "coverage")
TENTHS = range(1, 11)
AT_LEAST = (1, 2, 3)
Column = list[float]


def values(found: Sequence[CitingAnswer]) -> dict[str, np.ndarray]:
    """What each answer is worth, by name: one number an answer, NaN where a figure does not apply."""
    table: dict[str, Column] = {
        "tags": [len(one.citations) for one in found],
        "cited": [len(one.cited.spans) for one in found],
        "inserted": [one.sampled.clips for one in found],
        "invalid": [one.invalid.total() for one in found],
    }
    table |= {f"invalid_{reason}": [one.invalid[reason] for one in found] for reason in REASONS}
    table |= {f"at_least_{n}": [len(one.cited.spans) >= n for one in found] for n in AT_LEAST}
    for kind in KINDS:
        table |= {f"{kind}_{name}": [getattr(getattr(one, kind), name) for one in found] for name in MEASURES}
    table |= {f"tenth_{n}": [one.cited.tenths[n - 1] for one in found] for n in TENTHS}
    table |= {name: [getattr(one.sampled, name) for one in found] for name in ("audio_tokens", "inserted_tokens", "ms")}
    return {name: np.array(column, dtype=float) for name, column in table.items()}


def segment_figures(answers: ChoiceAnswers, found: Sequence[CitingAnswer]) -> dict[str, Figure]:
    """By name, `<format>_segments_<figure>`, each a mean over all answers with a 95 % interval over cells.

    Of an answer: `tags`; `cited`, those of them that are valid; `inserted`, clips of any source; `invalid` and
    `invalid_<reason>`; `at_least_<n>` valid ones. `cited_<measure>` and `inserted_<measure>`: `seconds`, `overlap` (of
    two or more), `hit` and `iou` (of lines with evidence), `coverage`, a share of the clip. `tenth_<n>`: the share of
    answers that cite something in this tenth. `audio_tokens`, `inserted_tokens`, and `ms`, an answer's share of the
    time of its batch. `accuracy_hit` and `accuracy_missed`: of the scored answers whose valid tags cover the evidence,
    and of those whose tags do not.
    """
    cells = [cell(one.example) for one in found]
    figures = {name: mean_figure(column, cells) for name, column in values(found).items()}
    hits = np.array([found[i].cited.hit for i in answers.scored])
    for name, wanted in (("hit", 1.0), ("missed", 0.0)):
        places = np.flatnonzero(hits == wanted)
        figures[f"accuracy_{name}"] = mean_figure(answers.hits[places], [cells[answers.scored[i]] for i in places])
    return {f"{answers.format}_segments_{name}": figure for name, figure in figures.items()}


def relistening_differences(
    asked: Sequence[ChoiceAnswers], citing: Sequence[Sequence[CitingAnswer]]
) -> dict[str, dict[str, Figure]]:
    """By pair of policies, the accuracy of the first one into which a part of its clip was inserted minus each other's.

    By format, with paired intervals over cells; empty where no part of a clip was inserted.
    """
    found: dict[str, dict[str, Figure]] = {}
    for format in dict.fromkeys(answers.format for answers in asked):
        of_format = [(answers, given) for answers, given in zip(asked, citing, strict=True) if answers.format == format]
        first = next((answers for answers, given in of_format if any(one.inserted.spans for one in given)), None)
        for other in (answers for answers, _ in of_format if first and answers is not first):
            pair = found.setdefault(f"{first.name} - {other.name}", {})
            pair[f"{format}_accuracy"] = difference(other, first)
    return found
