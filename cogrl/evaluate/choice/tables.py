"""The tables of the questions: accuracy by policy, format and task beside its controls, and what is compared."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from cogrl.evaluate.choice.answers import ChoiceAnswers, difference
from cogrl.evaluate.choice.controls import CONTROL_TITLES
from cogrl.evaluate.metrics import Figure
from cogrl.evaluate.tables import number, percent
from cogrl.markdown import markdown_table

Pairs = Iterator[tuple[ChoiceAnswers, ChoiceAnswers]]


def choice_differences(asked: Sequence[ChoiceAnswers]) -> dict[str, dict[str, Figure]]:
    """By pair of policies, `after - before`, the difference in the accuracy of each format that both were asked in."""
    found: dict[str, dict[str, Figure]] = {}
    for before, after in _policies(asked):
        found.setdefault(f"{after.name} - {before.name}", {})[f"{after.format}_accuracy"] = difference(before, after)
    return found


def format_differences(asked: Sequence[ChoiceAnswers]) -> dict[str, dict[str, Figure]]:
    """By policy: the accuracy of every other format minus that of the first one, `think_choice_minus_choice`."""
    found: dict[str, dict[str, Figure]] = {}
    for first, other in _formats(asked):
        found.setdefault(other.name, {})[f"{other.format}_minus_{first.format}"] = difference(first, other)
    return found


def choice_table(asked: Sequence[ChoiceAnswers], figures: Mapping[str, Mapping[str, Figure]]) -> str:
    """One row a policy, format and task; what they mean, what is not scored, and the differences."""
    controls = list(asked[-1].in_control)
    head = ["policy", "asked in", "task", "questions", "accuracy, %", "chance, %"]
    head += [*(CONTROL_TITLES[control] for control in controls), "names no choice, %"]
    rows = []
    for answers in asked:
        m, accuracy = figures[answers.name], f"{answers.format}_accuracy"
        for task in [None, *answers.tasks]:
            of_task = [answers.examples[i] for i in answers.scored if task in (None, answers.examples[i].task)]
            if of_task:
                name = accuracy if task is None else f"{accuracy}_{task}"
                chosen = all(example.choices for example in of_task)
                chance = f"{100 * np.mean([1 / len(e.choices) for e in of_task]):.1f}" if chosen else "-"
                none = percent(m[f"{answers.format}_unparsed"]) if task is None else ""
                guessed = [percent(m[f"{name}_{control}"]) for control in controls]
                row = [answers.name, answers.format, task or "all", str(len(of_task)), percent(m[name]), chance]
                rows.append([*row, *guessed, none])
    last = asked[-1]
    text = "What is answered to the questions.\n\n"
    if rows:
        text += markdown_table(head, rows) + "\n"
    text += "An answer counts when it names one choice, by letter or text, and says nothing else; others are wrong.\n"
    if not all(example.choices for example in last.examples):
        text += f"Open answers are compared with the line's answer by rule {last.accuracy.rule}.\n"
    hidden = len(last.examples) - len(last.scored)
    if hidden:
        text += f"{hidden} questions have no published answer: they are asked and written, and not scored.\n"
    for answers in asked:
        if answers.rollout:
            figures_of = {name: figures[answers.name][f"{answers.format}_rollout_{name}"] for name in answers.rollout}
            known = [f"{name} {number(figure, 3)}" for name, figure in figures_of.items() if figure["n"]]
            text += f"- {answers.name}, asked in {answers.format}, under controllers: {', '.join(known)}\n"
    for before, after in _policies(asked):
        gain = percent(difference(before, after))
        text += f"- {after.name} minus {before.name}, asked in {after.format}: {gain} points of accuracy\n"
    for first, other in _formats(asked):
        gain = percent(difference(first, other))
        text += f"- {other.name}, asked in {other.format} minus in {first.format}: {gain} points of accuracy\n"
    return text


def _policies(asked: Sequence[ChoiceAnswers]) -> Pairs:
    """Each policy and the next one, by format."""
    for format in dict.fromkeys(answers.format for answers in asked):
        yield from pairwise([answers for answers in asked if answers.format == format])


def _formats(asked: Sequence[ChoiceAnswers]) -> Pairs:
    """The first format and each other one, by policy."""
    for name in dict.fromkeys(answers.name for answers in asked):
        first, *others = (answers for answers in asked if answers.name == name)
        yield from ((first, other) for other in others)
