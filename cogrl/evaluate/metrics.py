"""Every figure of an evaluation, each with a 95 % bootstrap interval over (speaker, sentence) cells."""

import math
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from cogrl.evaluate.emotion import EVALUATED_FORMATS, Answers, Evaluation
from cogrl.evaluate.groups import follow_and_stay, response_difference
from cogrl.evaluate.polarity import PARTS, part
from cogrl.evaluate.stats import (
    Interval,
    bootstrap_mean,
    bootstrap_ratio,
    bootstrap_unweighted_accuracy,
    signed_rank,
)
from cogrl.types import Emotion

Figure = dict[str, float | int | None]
"""`{mean, low, high, n}`: n values; None where there is no figure (n = 0, or the interval of one cell)."""


def metrics(evaluation: Evaluation) -> dict[str, Figure]:
    """Every figure of one policy by name.

    `emotion_accuracy` (the label of eips; WA), `ua`, `accuracy_<part>`, `follow`, `stay`, `semantic_dominance_gap`;
    `reply_accuracy_<format>` and `gap_reply_<format>` for what the reply answers; `reward`, `empathy` (in [0, 1]),
    `tokens`, `format` by format; all of these with `_<control>` for the controls; `response_*`; `<mechanism>_<format>`.
    Whatever has a part in its name is measured on `evaluation.polar` where there is one.
    """
    e = evaluation
    found = _parts(e.polar or e)
    for suffix, formats in _by_condition(e).items():
        found |= _perception_figures(e, formats["eips"].perceived, suffix)
        for format, answers in formats.items():
            found |= _reply_figures(e, answers, f"{format}{suffix}")
    for mechanism, levels in e.levels.items():
        found |= {f"{mechanism}_{format}": mean_figure(levels[format], e.cells) for format in EVALUATED_FORMATS}
    return found | _formats(e) | _responses(e)


def differences(before: Evaluation, after: Evaluation) -> dict[str, Figure]:
    """After minus before on the same clips, with paired intervals; of EPITOME levels also the signed-rank p-value."""
    pairs = {"emotion_accuracy": (before.correct(before.formats["eips"]), after.correct(after.formats["eips"]))}
    for format in EVALUATED_FORMATS:
        old, new = before.formats[format], after.formats[format]
        pairs[f"reply_accuracy_{format}"] = (before.answered(old), after.answered(new))
        pairs[f"reward_{format}"] = (old.reward, new.reward)
        pairs[f"empathy_{format}"] = (old.terms["empathy"], new.terms["empathy"])
        pairs[f"tokens_{format}"] = (np.array(old.tokens), np.array(new.tokens))
        for mechanism in before.levels.keys() & after.levels.keys():
            pairs[f"{mechanism}_{format}"] = (before.levels[mechanism][format], after.levels[mechanism][format])
    found = {name: mean_figure(new - old, before.cells) for name, (old, new) in pairs.items()}
    for name, (old, new) in pairs.items():
        if name.rpartition("_")[0] in before.levels:
            found[name]["p_signed_rank"] = signed_rank(new, old, before.cells)
    gaps = []
    for e in (before, after):
        follow, stay = follow_and_stay(e.examples, e.formats["eips"].perceived, before.contrasts)
        gaps.append(stay - follow)
    found["semantic_dominance_gap"] = mean_figure(gaps[1] - gaps[0], [before.cells[i] for i, _ in before.contrasts])
    return found


def figure(interval: Interval, n: int) -> Figure:
    """An interval as plain numbers for JSON."""
    return {name: value if math.isfinite(value) else None for name, value in asdict(interval).items()} | {"n": n}


NOTHING: Figure = {"mean": None, "low": None, "high": None, "n": 0}


def mean_figure(values: np.ndarray, cells: Sequence[str]) -> Figure:
    """Of the values that are numbers: a reward that failed is left out, and `n` says so."""
    kept = [i for i, value in enumerate(values) if np.isfinite(value)]
    if not kept:
        return NOTHING
    return figure(bootstrap_mean(np.asarray(values)[kept], [cells[i] for i in kept]), len(kept))


def _by_condition(e: Evaluation) -> dict[str, dict[str, Answers]]:
    """The answers of both formats by the suffix of the condition in the figures' names; "" for the voice itself."""
    return {"": e.formats} | {f"_{name}": formats for name, formats in e.controls.items()}


def _perception_figures(e: Evaluation, perceived: Sequence[Emotion | None], suffix: str) -> dict[str, Figure]:
    hits = np.array([float(guess == label) for guess, label in zip(perceived, e.labels, strict=True)])
    ua = bootstrap_unweighted_accuracy(e.labels, perceived, e.cells)
    found = {"emotion_accuracy": mean_figure(hits, e.cells), "ua": figure(ua, len(hits))} | _gap(e, perceived)
    return {name + suffix: value for name, value in found.items()}


def _reply_figures(e: Evaluation, answers: Answers, name: str) -> dict[str, Figure]:
    return {
        f"reply_accuracy_{name}": mean_figure(e.answered(answers), e.cells),
        f"gap_reply_{name}": _gap(e, answers.replied)["semantic_dominance_gap"],
        f"reward_{name}": mean_figure(answers.reward, e.cells),
        f"empathy_{name}": mean_figure(answers.terms["empathy"], e.cells),
        f"format_{name}": mean_figure(answers.terms["format"], e.cells),
        f"tokens_{name}": mean_figure(np.array(answers.tokens, dtype=float), e.cells),
    }


def _parts(e: Evaluation) -> dict[str, Figure]:
    """Accuracy of labels and replies where words and voice conflict, agree, or one of them has no sentiment."""
    hits = {}
    for suffix, formats in _by_condition(e).items():
        hits[f"accuracy_{{}}{suffix}"] = e.correct(formats["eips"])
        hits |= {f"reply_accuracy_{{}}_{format}{suffix}": e.answered(answers) for format, answers in formats.items()}
    found, parts = {}, [part(example) for example in e.examples]
    for name in PARTS:
        rows = [i for i, value in enumerate(parts) if value == name]
        found |= {
            key.format(name): mean_figure(values[rows], [e.cells[i] for i in rows]) for key, values in hits.items()
        }
    return found


def _gap(e: Evaluation, perceived: Sequence[Emotion | None]) -> dict[str, Figure]:
    pairs = e.contrasts
    follow, stay = follow_and_stay(e.examples, perceived, pairs)
    cells = [e.cells[i] for i, _ in pairs]
    values = {"follow": follow, "stay": stay, "semantic_dominance_gap": stay - follow}
    return {name: mean_figure(value, cells) for name, value in values.items()}


def _formats(e: Evaluation) -> dict[str, Figure]:
    """What direct keeps of eips's accuracy, reply against reply and against eips's label, and its share of tokens."""
    a, b = (e.answered(e.formats[format]) for format in EVALUATED_FORMATS)
    tokens = [np.array(e.formats[format].tokens, dtype=float) for format in EVALUATED_FORMATS]
    pairs = {
        "direct_keeps_of_eips": (b, a),
        "direct_keeps_of_eips_label": (b, e.correct(e.formats["eips"])),
        "direct_tokens_of_eips": tokens[::-1],
    }
    return {name: figure(bootstrap_ratio(over, under, e.cells), len(over)) for name, (over, under) in pairs.items()}


def _responses(e: Evaluation) -> dict[str, Figure]:
    if e.samples is None:
        return {}
    between, within = response_difference(e.examples, e.samples, e.contrasts)
    across, inside = (np.array([values[name] for name in between]) for values in (between, within))
    values = {"response_between": across, "response_within": inside, "response_difference": across - inside}
    return {name: mean_figure(value, list(between)) for name, value in values.items()}
