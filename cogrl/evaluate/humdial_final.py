"""The five figures of each language out of the judged tasks, and the score that ranks where none is missing."""

from collections.abc import Mapping
from typing import Any

from cogrl.evaluate.humdial import final, final_language

FIGURES = ("T1", "T2", "D1", "D2", "D3")
AUDIO_JUDGE = "by an audio judge, officially by people"
"""Whose D2 and D3 are, where replies were spoken."""
Judged = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""By language and number of the task, what `cogrl humdial judge` writes about it."""


def final_record(found: Judged) -> dict[str, Any]:
    """By language (zh, en) the five figures, None for one that is missing; where none is, the scores, as `final`.

    Where a listener has measured D2, its `D2_listener` stands beside the judge's D2, and `final_listener` is the score
    with it in its place.
    """
    figures = {code: _figures(tasks) for code, tasks in found.items()}
    record: dict[str, Any] = dict(figures)
    for score, d2 in (("final", "D2"), ("final_listener", "D2_listener")):
        names = ("T1", "T2", "D1", d2, "D3")
        five = {code: [own.get(name) for name in names] for code, own in figures.items()}
        if all(value is not None for values in five.values() for value in values):
            for code, own in figures.items():
                own[score] = final_language(*five[code])
            record[score] = final(figures["zh"][score], figures["en"][score])
    if "final" in record:
        record["D2 and D3"] = AUDIO_JUDGE
    return record


def _figures(tasks: Mapping[int, Mapping[str, Any]]) -> dict[str, float | None]:
    of_task_3 = [value and value["mean"] for value in tasks[3]["dimensions"].values()]
    averages = tasks[1]["average"], tasks[2]["average"]
    figures: dict[str, float | None] = dict(zip(FIGURES, (*averages, *of_task_3), strict=True))
    if "listener" in tasks[3]:
        measured = tasks[3]["listener"]["D2"]
        figures["D2_listener"] = measured and measured["mean"]
    return figures
