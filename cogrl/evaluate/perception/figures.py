"""The figures of perception of one policy: claims by section, transcript, environment, and answers by SNR and level."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from sklearn.metrics import average_precision_score, f1_score

from cogrl.evaluate.choice.answers import ChoiceAnswers
from cogrl.evaluate.groups import cell
from cogrl.evaluate.metrics import Figure, mean_figure
from cogrl.evaluate.perception.perceived import Perceived
from cogrl.rewards.perception.claims import HEARD, label_claims
from cogrl.types import Example

BANDS_DB = ((0, 5), (5, 10), (10, 15), (15, 20))
STATUSES = ("supported", "contradicted", "unverifiable")
Part = Callable[[Example], bool]


def in_band(snr_db: float | None, low: int, high: int) -> bool:
    """Whether an SNR lies in [low, high), in the last of `BANDS_DB` also at its end."""
    return snr_db is not None and (low <= snr_db < high or snr_db == high == BANDS_DB[-1][1])


PARTS: dict[str, Part] = {
    f"snr_{low}_{high}": lambda example, low=low, high=high: in_band(example.snr_db, low, high)
    for low, high in BANDS_DB
}
PARTS |= {
    "one_voice": lambda example: len({turn.speaker for turn in example.speech}) == 1,
    "several_voices": lambda example: len({turn.speaker for turn in example.speech}) > 1,
}
"""By name, the parts of a test whose accuracy is told apart: bands of SNR in dB, and PAQA's two levels."""


def values(found: Sequence[Perceived]) -> dict[str, np.ndarray]:
    """What each answer is worth, by name: one number an answer, NaN where a figure does not apply."""
    table = {f"right_{section}": [one.right(section) for one in found] for section in HEARD}
    table["right_claims"] = [one.right_claims for one in found]
    for status in STATUSES:
        table[status] = [one.checked.count(status) for one in found]
        table |= {f"{status}_{section}": [one.checked.count(status, section) for one in found] for section in HEARD}
    table["wer"] = [one.word_error_rate for one in found]
    table["cer"] = [one.character_error_rate for one in found]
    table["attribution"] = [one.attribution for one in found]
    table["implied"] = [float(one.implied == one.example.answer) for one in found]
    table["well_formed"] = [float(one.answer.fields is not None) for one in found]
    return {name: np.array(column, dtype=float) for name, column in table.items()}


def perception_figures(answers: ChoiceAnswers, found: Sequence[Perceived]) -> dict[str, Figure]:
    """By name, of answers in the format `paqa` and likewise of another, each with a 95 % interval over cells.

    `paqa_right_<section>` is supported / max(expected, claimed) and `paqa_right_claims` its mean over the sections;
    `paqa_supported`, `paqa_contradicted`, `paqa_unverifiable` are claims an answer, also by section; `paqa_wer`,
    `paqa_cer` of the transcript, `paqa_attribution` its words with the right speaker; `paqa_implied` the accuracy of
    the question's rule on the answer's own trace; `paqa_environment_f1` and `_map`, macro, have no interval.
    """
    cells = [cell(one.example) for one in found]
    figures = {name: mean_figure(column, cells) for name, column in values(found).items()}
    figures |= environment_scores(found)
    return {f"{answers.format}_{name}": figure for name, figure in figures.items()}


def part_figures(answers: ChoiceAnswers) -> dict[str, Figure]:
    """Accuracy by part, `choice_accuracy_<part>`, of those parts that the questions have."""
    scored = [answers.examples[i] for i in answers.scored]
    rows = {name: [i for i, example in enumerate(scored) if inside(example)] for name, inside in PARTS.items()}
    cells = [cell(example) for example in scored]
    return {
        f"{answers.format}_accuracy_{name}": mean_figure(answers.hits[places], [cells[i] for i in places])
        for name, places in rows.items()
        if places
    }


def environment_scores(found: Sequence[Perceived]) -> dict[str, Figure]:
    """F1 and average precision of the environment's labels, each the mean over the labels of the lines."""
    known = [one for one in found if one.example.environment is not None]
    gold = [{claim.value for claim in label_claims(str(one.example.environment))} for one in known]
    labels = sorted(set().union(*gold))
    if not labels:
        return {}
    truth, said = (
        np.array([[label in named for label in labels] for named in sets], dtype=int)
        for sets in (gold, [set(one.claimed("environment")) for one in known])
    )
    scores: Mapping[str, float] = {
        "environment_f1": np.mean(
            [f1_score(*columns, zero_division=0) for columns in zip(truth.T, said.T, strict=True)]
        ),
        "environment_map": average_precision_score(truth, said, average="macro"),
    }
    return {name: {"mean": float(score), "low": None, "high": None, "n": len(known)} for name, score in scores.items()}
