"""Every figure of an evaluation, each with a 95 % bootstrap interval over (speaker, sentence) cells."""

import math
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from cogrl.evaluate.emotion import Answers, Evaluation
from cogrl.evaluate.groups import follow_and_stay, response_difference
from cogrl.evaluate.polarity import PARTS, part
from cogrl.evaluate.stats import (
    Interval,
    bootstrap_mean,
    bootstrap_ratio,
    bootstrap_unweighted_accuracy,
    signed_rank,
)
from cogrl.types import ROUTES, Emotion, Route

Figure = dict[str, float | int | None]
"""`{mean, low, high, n}`: n values; None where there is no figure (n = 0, or the interval of one cell)."""


def metrics(evaluation: Evaluation) -> dict[str, Figure]:
    """Every figure of one policy by name.

    `emotion_accuracy` (the label of route A; WA), `ua`, `accuracy_<part>`, `follow`, `stay`, `semantic_dominance_gap`;
    `reply_accuracy_<route>` and `gap_reply_<route>` for what the reply answers; `reward`, `empathy` (in [0, 1]),
    `tokens`, `format` by route; all of these with `_<control>` for the controls; `response_*`; `<mechanism>_<route>`.
    Whatever has a part in its name is measured on `evaluation.polar` where there is one.
    """
    e = evaluation
    found = _parts(e.polar or e)
    for suffix, routes in _hearings(e).items():
        found |= _heard(e, routes["A"].perceived, suffix)
        for route, answers in routes.items():
            found |= _answered(e, answers, f"{route}{suffix}")
    for mechanism, levels in e.levels.items():
        found |= {f"{mechanism}_{route}": _mean(levels[route], e.cells) for route in ROUTES}
    return found | _routes(e) | _responses(e)


def differences(before: Evaluation, after: Evaluation) -> dict[str, Figure]:
    """After minus before on the same clips, with paired intervals; of EPITOME levels also the signed-rank p-value."""
    pairs = {"emotion_accuracy": (before.correct(before.routes["A"]), after.correct(after.routes["A"]))}
    for route in ROUTES:
        old, new = before.routes[route], after.routes[route]
        pairs[f"reply_accuracy_{route}"] = (before.answered(old), after.answered(new))
        pairs[f"reward_{route}"] = (old.reward, new.reward)
        pairs[f"empathy_{route}"] = (old.terms["empathy"], new.terms["empathy"])
        pairs[f"tokens_{route}"] = (np.array(old.tokens), np.array(new.tokens))
        for mechanism in before.levels.keys() & after.levels.keys():
            pairs[f"{mechanism}_{route}"] = (before.levels[mechanism][route], after.levels[mechanism][route])
    found = {name: _mean(new - old, before.cells) for name, (old, new) in pairs.items()}
    for name, (old, new) in pairs.items():
        if name[:-2] in before.levels:
            found[name]["p_signed_rank"] = signed_rank(new, old, before.cells)
    gaps = []
    for e in (before, after):
        follow, stay = follow_and_stay(e.examples, e.routes["A"].perceived, before.contrasts)
        gaps.append(stay - follow)
    found["semantic_dominance_gap"] = _mean(gaps[1] - gaps[0], [before.cells[i] for i, _ in before.contrasts])
    return found


def figure(interval: Interval, n: int) -> Figure:
    """An interval as plain numbers for JSON."""
    return {name: value if math.isfinite(value) else None for name, value in asdict(interval).items()} | {"n": n}


NOTHING: Figure = {"mean": None, "low": None, "high": None, "n": 0}


def _mean(values: np.ndarray, cells: Sequence[str]) -> Figure:
    """Of the values that are numbers: a reward that failed is left out, and `n` says so."""
    kept = [i for i, value in enumerate(values) if np.isfinite(value)]
    if not kept:
        return NOTHING
    return figure(bootstrap_mean(np.asarray(values)[kept], [cells[i] for i in kept]), len(kept))


def _hearings(e: Evaluation) -> dict[str, dict[Route, Answers]]:
    """Both routes by what they heard, under the end of their figures' names: nothing for the voice itself."""
    return {"": e.routes} | {f"_{name}": routes for name, routes in e.controls.items()}


def _heard(e: Evaluation, perceived: Sequence[Emotion | None], suffix: str) -> dict[str, Figure]:
    hits = np.array([float(guess == label) for guess, label in zip(perceived, e.labels, strict=True)])
    ua = bootstrap_unweighted_accuracy(e.labels, perceived, e.cells)
    found = {"emotion_accuracy": _mean(hits, e.cells), "ua": figure(ua, len(hits))} | _gap(e, perceived)
    return {name + suffix: value for name, value in found.items()}


def _answered(e: Evaluation, answers: Answers, name: str) -> dict[str, Figure]:
    return {
        f"reply_accuracy_{name}": _mean(e.answered(answers), e.cells),
        f"gap_reply_{name}": _gap(e, answers.replied)["semantic_dominance_gap"],
        f"reward_{name}": _mean(answers.reward, e.cells),
        f"empathy_{name}": _mean(answers.terms["empathy"], e.cells),
        f"format_{name}": _mean(answers.terms["format"], e.cells),
        f"tokens_{name}": _mean(np.array(answers.tokens, dtype=float), e.cells),
    }


def _parts(e: Evaluation) -> dict[str, Figure]:
    """Accuracy of labels and replies where words and voice conflict, agree, or one of them has no sentiment."""
    hits = {}
    for suffix, routes in _hearings(e).items():
        hits[f"accuracy_{{}}{suffix}"] = e.correct(routes["A"])
        hits |= {f"reply_accuracy_{{}}_{route}{suffix}": e.answered(answers) for route, answers in routes.items()}
    found, parts = {}, [part(example) for example in e.examples]
    for name in PARTS:
        rows = [i for i, value in enumerate(parts) if value == name]
        found |= {key.format(name): _mean(values[rows], [e.cells[i] for i in rows]) for key, values in hits.items()}
    return found


def _gap(e: Evaluation, perceived: Sequence[Emotion | None]) -> dict[str, Figure]:
    pairs = e.contrasts
    follow, stay = follow_and_stay(e.examples, perceived, pairs)
    cells = [e.cells[i] for i, _ in pairs]
    values = {"follow": follow, "stay": stay, "semantic_dominance_gap": stay - follow}
    return {name: _mean(value, cells) for name, value in values.items()}


def _routes(e: Evaluation) -> dict[str, Figure]:
    """What route B keeps of route A's accuracy, measured by replies on both sides and by A's label, and its tokens."""
    a, b = (e.answered(e.routes[route]) for route in ROUTES)
    tokens = [np.array(e.routes[route].tokens, dtype=float) for route in ROUTES]
    pairs = {"B_keeps_of_A": (b, a), "B_keeps_of_A_label": (b, e.correct(e.routes["A"])), "B_tokens_of_A": tokens[::-1]}
    return {name: figure(bootstrap_ratio(over, under, e.cells), len(over)) for name, (over, under) in pairs.items()}


def _responses(e: Evaluation) -> dict[str, Figure]:
    if e.samples is None:
        return {}
    between, within = response_difference(e.examples, e.samples, e.contrasts)
    across, inside = (np.array([values[name] for name in between]) for values in (between, within))
    values = {"response_between": across, "response_within": inside, "response_difference": across - inside}
    return {name: _mean(value, list(between)) for name, value in values.items()}
