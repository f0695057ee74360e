"""Evaluations side by side: a Markdown table with intervals, paired differences, examples, a confusion figure."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np

from cogrl.evaluate.emotion import Evaluation
from cogrl.evaluate.stats import bootstrap_mean, confusion, paired_bootstrap
from cogrl.prompts import reply
from cogrl.types import EMOTIONS, INTENSITIES, ROUTES

CHANCE = 1 / len(EMOTIONS)


def metrics(evaluation: Evaluation) -> dict[str, dict[str, float]]:
    """Every figure of one policy as `{name: {mean, low, high}}`; 95 % cluster-bootstrap intervals over cells."""
    e, cells = evaluation, evaluation.cells
    values = {"emotion_accuracy": e.correct(e.routes["A"])}
    values |= {f"emotion_accuracy_{name}": e.correct(answers) for name, answers in e.controls.items()}
    for route in ROUTES:
        values[f"reward_{route}"] = e.routes[route].reward
        values[f"empathy_{route}"] = e.routes[route].terms["empathy"]
        values[f"tokens_{route}"] = np.array(e.routes[route].tokens, dtype=float)
    values["format_A"] = e.routes["A"].terms["format"]
    return {name: asdict(bootstrap_mean(value, cells)) for name, value in values.items()}


def differences(before: Evaluation, after: Evaluation) -> dict[str, dict[str, float]]:
    """After minus before on the same clips, with paired intervals."""
    pairs = {"emotion_accuracy": (before.correct(before.routes["A"]), after.correct(after.routes["A"]))}
    pairs |= {f"reward_{route}": (before.routes[route].reward, after.routes[route].reward) for route in ROUTES}
    return {name: asdict(paired_bootstrap(b, a, before.cells)) for name, (a, b) in pairs.items()}


def percent(interval: dict[str, float]) -> str:
    """`57.3 [53.1, 61.4]`"""
    return "{mean:.1f} [{low:.1f}, {high:.1f}]".format(**{k: 100 * v for k, v in interval.items()})


def number(interval: dict[str, float]) -> str:
    """`0.612 [0.58, 0.64]`"""
    return "{mean:.3f} [{low:.3f}, {high:.3f}]".format(**interval)


def table(evaluations: Sequence[Evaluation]) -> str:
    """One row a policy."""
    head = (
        "| policy | emotion accuracy, % | text only, % | silence, % | reward A | reward B | empathy A | empathy B "
        "| tokens A / B |\n|---|---|---|---|---|---|---|---|---|\n"
    )
    rows = []
    for evaluation in evaluations:
        m = metrics(evaluation)
        cells = [
            evaluation.name,
            percent(m["emotion_accuracy"]),
            *(_control(evaluation, name, m) for name in ("transcript", "silence")),
            *(number(m[name]) for name in ("reward_A", "reward_B", "empathy_A", "empathy_B")),
            f"{m['tokens_A']['mean']:.0f} / {m['tokens_B']['mean']:.0f}",
        ]
        rows.append("| " + " | ".join(cells) + " |\n")
    return head + "".join(rows)


def steps(evaluations: Sequence[Evaluation]) -> str:
    """What each policy gained over the one before it."""
    lines = []
    for before, after in pairwise(evaluations):
        d = differences(before, after)
        lines.append(
            f"- {after.name} minus {before.name}: emotion accuracy {percent(d['emotion_accuracy'])} points, "
            f"reward A {number(d['reward_A'])}, reward B {number(d['reward_B'])}\n"
        )
    return "".join(lines)


def examples(evaluation: Evaluation) -> str:
    """One sentence in every emotion, by one speaker: what the policy perceives and replies on each route."""
    clips, cells = evaluation.clips, evaluation.cells
    cell = [i for i in range(len(clips)) if cells[i] == cells[0]]
    strength = lambda i: INTENSITIES.index(clips[i].example.intensity or "low")
    strongest = {clips[i].example.emotion: i for i in sorted(cell, key=strength)}
    rows = [strongest[emotion] for emotion in EMOTIONS if emotion in strongest]
    first = clips[rows[0]].example
    lines = [f'"{first.text}", speaker {first.speaker}, answered by {evaluation.name}:\n\n']
    lines.append("| spoken with | perceived | reply, route A | reply, route B |\n|---|---|---|---|\n")
    for i in rows:
        a, b = (evaluation.routes[route] for route in ROUTES)
        perceived = a.perceived[i] or "-"
        lines.append(
            f"| {clips[i].example.emotion} | {perceived} | {_cell(reply(a.texts[i], 'A'))} "
            f"| {_cell(reply(b.texts[i], 'B'))} |\n"
        )
    return "".join(lines)


def write(evaluations: Sequence[Evaluation], out: Path) -> str:
    """`report.md`, `metrics.json`, `answers.jsonl` and `confusion.png` in `out`; returns the Markdown."""
    out.mkdir(parents=True, exist_ok=True)
    last = evaluations[-1]
    sections = [
        counts(last),
        table(evaluations),
        steps(evaluations),
        f"Intervals: 95 %, bootstrap over (speaker, sentence) cells. Chance is {100 * CHANCE:.1f} %.\n"
        "In the controls all emotions of a cell sound the same, so one label a cell is right one time in seven.\n",
        examples(last),
    ]
    text = "\n".join(section for section in sections if section)
    (out / "report.md").write_text(text)
    figures = {e.name: metrics(e) for e in evaluations}
    gains = {f"{b.name} - {a.name}": differences(a, b) for a, b in pairwise(evaluations)}
    (out / "metrics.json").write_text(json.dumps({"policies": figures, "differences": gains}, indent=1))
    with open(out / "answers.jsonl", "w") as file:
        file.writelines(json.dumps(record) + "\n" for e in evaluations for record in records(e))
    draw_confusion(evaluations, out / "confusion.png")
    return text


def records(evaluation: Evaluation) -> Iterator[dict]:
    """One record a clip: what was spoken, perceived and answered, and the rewards."""
    for i, clip in enumerate(evaluation.clips):
        yield {
            "policy": evaluation.name,
            "id": clip.example.id,
            "cell": evaluation.cells[i],
            "emotion": clip.example.emotion,
            "perceived": evaluation.routes["A"].perceived[i],
            "answers": {route: answers.texts[i] for route, answers in evaluation.routes.items()},
            "reward": {route: round(answers.reward[i], 4) for route, answers in evaluation.routes.items()},
        }


def counts(evaluation: Evaluation) -> str:
    """What was tested on."""
    examples = [clip.example for clip in evaluation.clips]
    speakers, sentences = len({e.speaker for e in examples}), len({e.text_group for e in examples})
    return (
        f"Test: {len(examples)} clips, {speakers} speakers and {sentences} sentences, "
        f"{len({e.emotion for e in examples})} emotions.\n"
    )


def draw_confusion(evaluations: Sequence[Evaluation], path: Path) -> None:
    """Spoken against perceived emotion, one panel a policy; the last column counts answers without a label."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(evaluations), figsize=(4.4 * len(evaluations), 4.2), squeeze=False)
    labels = [*EMOTIONS, "none"]
    for axis, evaluation in zip(axes[0], evaluations, strict=True):
        matrix = confusion([c.example.emotion for c in evaluation.clips], evaluation.routes["A"].perceived)
        share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (row, column), value in np.ndenumerate(share):
            if value >= 0.005:
                axis.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7)
        axis.set(title=evaluation.name, xlabel="perceived", xticks=range(len(labels)), yticks=range(len(EMOTIONS)))
        axis.set_xticklabels(labels, rotation=60, fontsize=8)
        axis.set_yticklabels(EMOTIONS, fontsize=8)
    axes[0][0].set_ylabel("spoken")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _control(evaluation: Evaluation, name: str, m: dict[str, dict[str, float]]) -> str:
    if not any(evaluation.controls[name].perceived):
        return "no label given"
    return percent(m[f"emotion_accuracy_{name}"])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ") or "-"
