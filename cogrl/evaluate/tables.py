"""The tables of a report: the emotion each policy perceived, beside the controls, and its answers in each format."""

from collections.abc import Mapping, Sequence
from itertools import product

from cogrl.evaluate.emotion import EVALUATED_FORMATS, Evaluation
from cogrl.evaluate.metrics import Figure
from cogrl.markdown import markdown_table
from cogrl.types import EMOTIONS, INTENSITIES

CONTROL_NAMES = {"transcript": "text only", "silence": "silence", "shuffled": "shuffled audio"}
_NO_LABEL = "no label given"
_PERCEPTION = ("emotion_accuracy", "ua", "accuracy_conflict", "accuracy_consistent")
_PERCEPTION += ("follow", "stay", "semantic_dominance_gap")


def percent(figure: Figure) -> str:
    """`57.3 [53.1, 61.4]`, of a share."""
    return _shown(figure, 100.0, 1)


def number(figure: Figure, digits: int = 3) -> str:
    """`0.612 [0.580, 0.640]`"""
    return _shown(figure, 1.0, digits)


def rubric(figure: Figure) -> Figure:
    """An empathy term in [0, 1] on the judge's scale of 1 to 4."""
    scaled = {key: None if figure[key] is None else 1 + 3 * figure[key] for key in ("mean", "low", "high")}
    return scaled | {"n": figure["n"]}


def perception_table(evaluations: Sequence[Evaluation], figures: Mapping[str, Mapping[str, Figure]]) -> str:
    """One row a policy, and one for each of its controls: eips, by the label it names."""
    head = ["policy", "hears", "WA, %", "UA, %", "conflict, %", "consistent, %", "follows the voice, %", "stays, %"]
    rows = []
    for evaluation in evaluations:
        m = figures[evaluation.name]
        rows.append([evaluation.name, _given(evaluation), *_perception_cells(m, "")])
        for control, answers in evaluation.controls.items():
            title = CONTROL_NAMES[control]
            if any(answers["eips"].perceived):
                rows.append([evaluation.name, title, *_perception_cells(m, f"_{control}")])
            else:
                rows.append([evaluation.name, title, _NO_LABEL, _NO_LABEL, "", "", "", "", ""])
    return markdown_table([*head, "semantic-dominance gap, %"], rows)


def reply_table(evaluations: Sequence[Evaluation], figures: Mapping[str, Mapping[str, Figure]]) -> str:
    """One row a policy, condition and format: the emotion that the reply answers, its reward, and its length."""
    mechanisms = list(evaluations[0].levels)
    head = ["policy", "hears", "format", "label, %", "reply, %", "conflict, %", "gap of replies, %", "reward"]
    rows = []
    for evaluation in evaluations:
        m = figures[evaluation.name]
        controls = {f"_{control}": CONTROL_NAMES[control] for control in evaluation.controls}
        for (suffix, title), format in product(({"": _given(evaluation)} | controls).items(), EVALUATED_FORMATS):
            end = f"{format}{suffix}"
            rows.append(
                [
                    evaluation.name,
                    title,
                    format,
                    percent(m[f"emotion_accuracy{suffix}"]) if format == "eips" else "-",
                    percent(m[f"reply_accuracy_{end}"]),
                    percent(m[f"reply_accuracy_conflict_{end}"]),
                    percent(m[f"gap_reply_{end}"]),
                    number(m[f"reward_{end}"]),
                    number(rubric(m[f"empathy_{end}"]), 2),
                    *(number(m[f"{mechanism}_{format}"], 2) if not suffix else "" for mechanism in mechanisms),
                    number(m[f"tokens_{end}"], 0),
                ]
            )
    return markdown_table([*head, "empathy, 1-4", *(f"{mechanism}, 0-2" for mechanism in mechanisms), "tokens"], rows)


def examples(evaluation: Evaluation) -> str:
    """One sentence in every emotion, by one speaker: what the policy perceives and replies in each format."""
    clips, cells = evaluation.clips, evaluation.cells
    cell = [i for i in range(len(clips)) if cells[i] == cells[0]]
    strength = lambda i: INTENSITIES.index(clips[i].example.intensity or "low")
    strongest = {clips[i].example.emotion: i for i in sorted(cell, key=strength)}
    shown = [strongest[emotion] for emotion in EMOTIONS if emotion in strongest]
    first = clips[shown[0]].example
    rows = []
    for i in shown:
        a, b = (evaluation.formats[format] for format in EVALUATED_FORMATS)
        rows.append([clips[i].example.emotion, a.perceived[i] or "-", a.replies[i] or "-", b.replies[i] or "-"])
    title = f'"{first.text}", speaker {first.speaker}, answered by {evaluation.name}:\n\n'
    return title + markdown_table(["spoken with", "perceived", "reply, eips", "reply, direct"], rows)


def _given(evaluation: Evaluation) -> str:
    return "the words alone" if evaluation.reads else "the voice"


def _perception_cells(m: Mapping[str, Figure], suffix: str) -> list[str]:
    return [percent(m[f"{name}{suffix}"]) for name in _PERCEPTION]


def _shown(figure: Figure, scale: float, digits: int) -> str:
    mean, low, high = (figure[key] for key in ("mean", "low", "high"))
    if mean is None:
        return "n = 0" if figure["n"] == 0 else "-"
    text = f"{scale * mean:.{digits}f}"
    return text if low is None else f"{text} [{scale * low:.{digits}f}, {scale * high:.{digits}f}]"
