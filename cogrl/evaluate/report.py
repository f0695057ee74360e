"""Evaluations side by side: Markdown tables with intervals and controls, paired differences, every answer, a figure."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from cogrl.evaluate.choice.answers import ChoiceAnswers, choice_figures, choice_records
from cogrl.evaluate.choice.official import OfficialList
from cogrl.evaluate.choice.official_scores import official_figures, official_section
from cogrl.evaluate.choice.submitted import write_predictions
from cogrl.evaluate.choice.tables import choice_differences, choice_table, format_differences
from cogrl.evaluate.emotion import Answers, Evaluation
from cogrl.evaluate.figures import draw_confusion
from cogrl.evaluate.metrics import Figure, differences, metrics
from cogrl.evaluate.perception.figures import part_figures, perception_figures
from cogrl.evaluate.perception.perceived import perceived
from cogrl.evaluate.perception.table import claims_table, part_table, perception_record
from cogrl.evaluate.polarity import PARTS, best_by_words, part, unread
from cogrl.evaluate.segments.cited import citing
from cogrl.evaluate.segments.figures import relistening_differences, segment_figures
from cogrl.evaluate.segments.table import segment_record, segments_table
from cogrl.evaluate.summary import SUMMARY
from cogrl.evaluate.tables import examples, number, percent, perception_table, reply_table
from cogrl.types import EMOTIONS

FILES = ("report.md", "report.json", "answers.jsonl", "confusion.png")
POLAR_ANSWERS, CHOICE_ANSWERS = "answers_conflict.jsonl", "answers_choice.jsonl"


def write(
    evaluations: Sequence[Evaluation],
    out: Path,
    choices: Sequence[ChoiceAnswers] = (),
    notes: Sequence[str] = (),
    official: OfficialList | None = None,
) -> str:
    """`report.md`, `report.json`, `answers.jsonl` and `confusion.png` in `out`; returns the Markdown.

    The answers to polar clips, where there are any, are in a file of their own, `answers_conflict.jsonl`, and so are
    those to multiple-choice questions, `answers_choice.jsonl`. Without `evaluations` there is no line with an emotion,
    and no figure of one. `notes` say what of the manifest is in no table. With an `official` list the answers to
    questions are scored by its rule, too, and written in its form, in `predictions_<policy>.json`.
    """
    out.mkdir(parents=True, exist_ok=True)
    earlier = [out / name for name in (*FILES, POLAR_ANSWERS, CHOICE_ANSWERS, SUMMARY)]
    for path in (*earlier, *out.glob("predictions_*.json*")):
        path.unlink(missing_ok=True)  # of an earlier report
    figures = {e.name: metrics(e) for e in evaluations}
    gains = {f"{b.name} - {a.name}": differences(a, b) for a, b in pairwise(evaluations)}
    n: dict[str, int] = {}
    sections: list[str] = []
    if evaluations:
        n |= sizes(evaluations[-1])
        sections += emotion_sections(evaluations, figures, gains)
        _write_answers(out / "answers.jsonl", evaluations)
        draw_confusion(evaluations, out / "confusion.png")
    polar = [e.polar for e in evaluations if e.polar]
    if polar:
        _write_answers(out / POLAR_ANSWERS, polar)
    if choices:
        n |= {"questions": len(choices[-1].examples), "questions_scored": len(choices[-1].scored)}
        traces, cited = [perceived(answers) for answers in choices], [citing(answers) for answers in choices]
        for answers, found, segments in zip(choices, traces, cited, strict=True):
            figures.setdefault(answers.name, {}).update(choice_figures(answers) | part_figures(answers))
            figures[answers.name].update(perception_figures(answers, found) if found else {})
            figures[answers.name].update(segment_figures(answers, segments) if segments else {})
        relistening = relistening_differences(choices, cited)
        for pair, found in (*choice_differences(choices).items(), *relistening.items()):
            gains.setdefault(pair, {}).update(found)
        for name, found in format_differences(choices).items():
            figures[name].update(found)
        in_sections = [answers for answers, found in zip(choices, traces, strict=True) if found]
        sections += [choice_table(choices, figures), part_table(choices, figures)]
        sections += [claims_table(in_sections, figures)] if in_sections else []
        with_segments = [answers for answers, segments in zip(choices, cited, strict=True) if segments]
        sections += [segments_table(with_segments, figures, relistening)] if with_segments else []
        if official:
            for answers in choices:
                figures[answers.name].update(official_figures(official, answers))
                write_predictions(official, answers, out)
            sections.append(official_section(official, choices, figures, out))
        records = (
            record
            | ({"perception": perception_record(found[i])} if found else {})
            | ({"segments": segment_record(segments[i])} if segments else {})
            for answers, found, segments in zip(choices, traces, cited, strict=True)
            for i, record in enumerate(choice_records(answers))
        )
        (out / CHOICE_ANSWERS).write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    text = "\n".join(section for section in (*sections, *notes) if section)
    (out / "report.md").write_text(text, encoding="utf-8")
    report = {"n": n, "policies": figures, "differences": gains}
    (out / "report.json").write_text(json.dumps(report, indent=1, allow_nan=False), encoding="utf-8")
    return text


def emotion_sections(
    evaluations: Sequence[Evaluation],
    figures: Mapping[str, Mapping[str, Figure]],
    gains: Mapping[str, Mapping[str, Figure]],
) -> list[str]:
    """The tables of perception and of replies, of the lines with an emotion."""
    last = evaluations[-1]
    return [
        counts(last),
        "Perception: the emotion that eips names.\n",
        perception_table(evaluations, figures),
        control_notes(last),
        "Replies: the emotion that the reply fits best, its grades, and its length.\n",
        reply_table(evaluations, figures),
        formats_compared(figures),
        responses(figures),
        steps(evaluations, gains),
        examples(last),
    ]


def sizes(evaluation: Evaluation) -> dict[str, int]:
    """How much there was to test on: clips, emotions, cells, pairs of the gap, and the clips of each part."""
    parts = Counter(part(example) for example in (evaluation.polar or evaluation).examples)
    sizes = {"clips": len(evaluation.clips), "emotions": len(set(evaluation.labels))}
    sizes |= {"cells": len(set(evaluation.cells)), "contrasts": len(evaluation.contrasts)}
    return sizes | {name: parts[name] for name in PARTS}


def counts(evaluation: Evaluation) -> str:
    """What was tested on."""
    found, n = evaluation.examples, sizes(evaluation)
    speakers, sentences = len({e.speaker for e in found} - {""}), len({e.text_group for e in found} - {""})
    where = f", on {len(evaluation.polar.clips)} other clips with polar words" if evaluation.polar else ""
    text = (
        f"Test: {len(found)} clips, {speakers} speakers and {sentences} sentences, "
        f"{n['emotions']} emotions. Words against voice{where}: {n['conflict']} clips conflict, "
        f"{n['consistent']} are consistent, in {n['neither']} the words or the voice have no sentiment.\n"
    )
    foreign = sum(unread(example) for example in (evaluation.polar or evaluation).examples)
    if foreign:
        text += f"{foreign} lines are not English, and have no `text_sentiment`: their words count as neither.\n"
    if n["conflict"]:
        return text
    return text + (
        "No sentence of this manifest contradicts its voice, so there is no conflict accuracy; it needs sentences with "
        "a polarity (or `text_sentiment` in the manifest), such as LIME-mini's `conflict.jsonl` with `--conflict`.\n"
    )


def control_notes(evaluation: Evaluation) -> str:
    """How to read the first table."""
    n, polar = sizes(evaluation), evaluation.polar or evaluation
    chance = 100 / n["emotions"]
    text = (
        "Intervals: 95 %, bootstrap over (speaker, sentence) cells. WA is plain accuracy, UA the mean recall of the "
        f"emotions; chance is {chance:.1f} %. Follows and stays: of {n['contrasts']} pairs of clips "
        "with the same words, speaker and different emotions, the share where both labels are their own voice's, and "
        "where they are the same. The gap is stays minus follows: +100 when words alone decide, -100 when the voice "
        "does.\n"
    )
    if n["conflict"]:
        text += (
            "Answers from the words alone lose on conflict what they gain on consistent: on the "
            f"{n['conflict'] + n['consistent']} clips of both they reach at most "
            f"{100 * best_by_words(polar.examples):.1f} %.\n"
        )
    if n["emotions"] == len(EMOTIONS):
        text += "In text only and silence all emotions of a cell sound the same; shuffled audio is another clip's.\n"
    return text


def formats_compared(figures: Mapping[str, Mapping[str, Figure]]) -> str:
    """Quality and cost of direct beside eips."""
    return "".join(
        f"- {name}: direct keeps {percent(m['direct_keeps_of_eips'])} % of eips's accuracy, reply against reply "
        f"({percent(m['direct_keeps_of_eips_label'])} % of eips's label), with "
        f"{percent(m['direct_tokens_of_eips'])} % of its tokens\n"
        for name, m in figures.items()
        if m["direct_keeps_of_eips"]["mean"] is not None
    )


def responses(figures: Mapping[str, Mapping[str, Figure]]) -> str:
    """How far sampled replies to the same words differ between emotions and between draws."""
    return "".join(
        f"- {name}: sampled replies of direct to the same words differ by {number(m['response_between'])} between "
        f"emotions and by {number(m['response_within'])} between draws for one clip; the voice explains "
        f"{number(m['response_difference'])}\n"
        for name, m in figures.items()
        if "response_difference" in m
    )


def steps(evaluations: Sequence[Evaluation], gains: Mapping[str, Mapping[str, Figure]]) -> str:
    """What each policy gained over the one before it."""
    lines = []
    for before, after in pairwise(evaluations):
        d = gains[f"{after.name} - {before.name}"]
        lines.append(
            f"- {after.name} minus {before.name}: emotion accuracy {percent(d['emotion_accuracy'])} points, replies "
            f"eips {percent(d['reply_accuracy_eips'])}, direct {percent(d['reply_accuracy_direct'])}, "
            f"reward eips {number(d['reward_eips'])}, reward direct {number(d['reward_direct'])}"
        )
        tested = [(name, figure) for name, figure in d.items() if "p_signed_rank" in figure]
        lines += [f", {name} {number(figure)} (p = {figure['p_signed_rank']:.3g})" for name, figure in tested]
        lines.append("\n")
    return "".join(lines)


def records(evaluation: Evaluation) -> Iterator[dict]:
    """One record a clip: what was spoken, perceived and answered, and the rewards; also under each control."""
    for i, clip in enumerate(evaluation.clips):
        yield {
            "policy": evaluation.name,
            "id": clip.example.id,
            "cell": evaluation.cells[i],
            "emotion": clip.example.emotion,
            "part": part(clip.example),
            **_given(evaluation.formats, i),
            **_levels(evaluation, i),
            "in_control": {name: _given(formats, i) for name, formats in evaluation.controls.items()},
        }


def _given(formats: Mapping[str, Answers], i: int) -> dict:
    """What both formats made of clip `i`."""
    return {
        "perceived": formats["eips"].perceived[i],
        "replied": {format: answers.replied[i] for format, answers in formats.items()},
        "answers": {format: answers.texts[i] for format, answers in formats.items()},
        "tokens": {format: int(answers.tokens[i]) for format, answers in formats.items()},
        "reward": {format: _rounded(answers.reward[i]) for format, answers in formats.items()},
        "empathy": {format: _rounded(answers.terms["empathy"][i]) for format, answers in formats.items()},
    }


def _levels(evaluation: Evaluation, i: int) -> dict:
    """The EPITOME levels of the replies to clip `i`, by mechanism and format; nothing where none were rated."""
    rated = {}
    for mechanism, levels in evaluation.levels.items():
        rated[mechanism] = {format: int(level[i]) for format, level in levels.items()}
    return {"levels": rated} if rated else {}


def _write_answers(path: Path, evaluations: Iterable[Evaluation]) -> None:
    with open(path, "w") as file:
        file.writelines(json.dumps(record) + "\n" for e in evaluations for record in records(e))


def _rounded(grade: float) -> float | None:
    """Four digits; None for a grade that failed."""
    return round(grade, 4) if math.isfinite(grade) else None
