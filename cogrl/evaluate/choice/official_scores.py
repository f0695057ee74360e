"""The official score of a benchmark beside the strict parser's, over all and by the fields of its rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cogrl.evaluate.choice.answers import ChoiceAnswers
from cogrl.evaluate.choice.letter_match import EMPTY, plain
from cogrl.evaluate.choice.official import OfficialList
from cogrl.evaluate.choice.submitted import prediction_path, predictions
from cogrl.evaluate.groups import cell
from cogrl.evaluate.metrics import Figure, mean_figure
from cogrl.evaluate.tables import percent
from cogrl.markdown import markdown_table


def official_figures(official: OfficialList, answers: ChoiceAnswers) -> dict[str, Figure]:
    """`official_accuracy` and `strict_accuracy` over all and as `..._<field>_<value>`, `official_left_out` as a share.

    Each with a 95 % bootstrap interval over clips; only questions with a published answer count, and in
    `official_accuracy` only the rows that the official script does not leave out (its `n` says how many).
    """
    right, hits = _official_hits(official, answers), answers.hits
    cells = [cell(answers.examples[i]) for i in answers.scored]
    found = {"official_left_out": mean_figure(np.array([float(r is None) for r in right]), cells)}
    for title, places in groups(official, answers).items():
        name = _suffix(title)
        counted = [i for i in places if right[i] is not None]
        values = np.array([float(right[i]) for i in counted])
        found[f"official_accuracy{name}"] = mean_figure(values, [cells[i] for i in counted])
        found[f"strict_accuracy{name}"] = mean_figure(hits[list(places)], [cells[i] for i in places])
    return found


def groups(official: OfficialList, answers: ChoiceAnswers) -> dict[str, list[int]]:
    """Places among the scored questions: all under "", then those of each `field: value` of the official rows."""
    records = [official.records[answers.examples[i].id] for i in answers.scored]
    found = {"": list(range(len(records)))}
    for field in official.benchmark.groups:
        values = sorted({str(record[field]) for record in records if record.get(field) not in (None, "")})
        for value in values:
            found[f"{field}: {value}"] = [i for i, record in enumerate(records) if str(record.get(field)) == value]
    return found


def out_of_reach(official: OfficialList, answers: ChoiceAnswers) -> list[str]:
    """The ids of the scored questions that even the right choice does not win, as what is submitted for it."""
    examples = [answers.examples[i] for i in answers.scored]
    best = ChoiceAnswers("", examples, [""] * len(examples), [example.answer for example in examples])
    right = _official_hits(official, best)
    return [example.id for example, hit in zip(examples, right, strict=True) if not hit]


def _suffix(title: str) -> str:
    """The end of a figure's name: `_task_sound` of `task: sound`."""
    return f"_{title.replace(': ', '_')}" if title else ""


def _official_hits(official: OfficialList, answers: ChoiceAnswers) -> list[bool | None]:
    given = predictions(official, answers)
    records = [official.records[answers.examples[i].id] for i in answers.scored]
    return official.benchmark.score(records, [given[i] for i in answers.scored])


def official_section(
    official: OfficialList, asked: Sequence[ChoiceAnswers], figures: Mapping[str, Mapping[str, Figure]], out: Path
) -> str:
    """The table of both scores side by side, and what has to be known to read it."""
    benchmark, table = official.benchmark, []
    for answers in asked:
        m = figures[answers.name]
        for title, places in groups(official, answers).items():
            name = _suffix(title)
            if places:
                by_rule, strict = m[f"official_accuracy{name}"], m[f"strict_accuracy{name}"]
                counts = str(len(places)), str(by_rule["n"])
                table.append([answers.name, title or "all", *counts, percent(by_rule), percent(strict)])
    text = f"{benchmark.name} by the rule of its own script, and by the strict parser.\n\n"
    if table:
        head = ["policy", "rows", "questions", "counted by the script", "official rule, %", "strict parser, %"]
        text += markdown_table(head, table) + "\n"
    what = "letter" if benchmark.by_letter else "text"
    files = ", ".join(prediction_path(official, out, answers.name).name for answers in asked)
    text += (
        f"Submitted ({files}) is the {what} of the choice that the strict parser finds, else the answer as it was "
        f"given; the official rule is applied to that, under the keys {', '.join(benchmark.keys)}.\n"
    )
    beyond = out_of_reach(official, asked[-1])
    if beyond:
        text += (
            f"{len(beyond)} questions are wrong by the official rule even with the {what} of their right choice, such "
            f"as {beyond[0]}: the list's own answer has other words.\n"
        )
    rest = len(official.items) - len(asked[-1].examples)
    if rest:
        text += f"{rest} rows of {official.path.name} were not asked: this is no result on the whole list.\n"
    if benchmark.by_letter:
        for answers in asked:
            given = predictions(official, answers)
            empty = sum(plain(text) in EMPTY for text in given)
            if empty:
                text += f"- {answers.name}: {empty} empty responses, which get the letter of an earlier row\n"
    return text
