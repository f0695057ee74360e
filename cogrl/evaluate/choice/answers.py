"""Multiple-choice questions asked of a policy, and the accuracy of its answers by task."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cogrl.data.manifest import raise_all
from cogrl.evaluate.groups import cell
from cogrl.evaluate.metrics import NOTHING, Figure, figure
from cogrl.evaluate.stats import bootstrap_mean
from cogrl.evaluate.tables import percent
from cogrl.formats.choice import CHOICE
from cogrl.formats.chosen import chosen
from cogrl.markdown import markdown_table
from cogrl.models.audio_lm import AudioLM
from cogrl.models.prompt_length import overflows
from cogrl.progress import progress
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling
from cogrl.types import Clip, Example


@dataclass(frozen=True)
class ChoiceAnswers:
    """What a policy answered to `n` questions: its words, and the choice they name (None: none, which is wrong)."""

    name: str
    examples: Sequence[Example]
    texts: Sequence[str]
    chosen: Sequence[str | None]

    @property
    def scored(self) -> list[int]:
        """The places of the questions whose right answer is published."""
        return [i for i, example in enumerate(self.examples) if example.answer is not None]

    @property
    def hits(self) -> np.ndarray:
        """1.0 where the right choice is named; of the scored ones."""
        return np.array([float(self.chosen[i] == self.examples[i].answer) for i in self.scored])

    @property
    def tasks(self) -> list[str]:
        """The tasks that the lines name, sorted."""
        return sorted({example.task for example in self.examples if example.task})


def ask(
    name: str, policy: AudioLM, clips: Sequence[Clip], max_new_tokens: int = 128, batch_size: int = 32
) -> ChoiceAnswers:
    """One greedy answer to the question of each clip. Raises ValueError, `file:line`, for prompts that do not fit."""
    policy.eval()
    sampling, engine = Sampling(max_new_tokens=max_new_tokens, greedy=True), HFEngine()
    examples = [clip.example for clip in clips]
    asked = [(example, [CHOICE.instruction(example)]) for example in examples]
    raise_all(list(overflows(policy, asked, max_new_tokens)))
    texts: list[str] = []
    for start in progress(range(0, len(clips), batch_size), f"answers of {name}", unit="batch"):
        batch = clips[start : start + batch_size]
        texts += engine.sample(policy, batch, [CHOICE.name] * len(batch), sampling).texts
    return ChoiceAnswers(name, examples, texts, [chosen(t, e.choices) for t, e in zip(texts, examples, strict=True)])


def choice_figures(answers: ChoiceAnswers) -> dict[str, Figure]:
    """`choice_accuracy`, over all and as `choice_accuracy_<task>`; `choice_unparsed` is the share that names no choice.

    Each with a 95 % bootstrap interval over the cells of `groups.cell`; only questions with a published answer count.
    """
    scored = answers.scored
    cells = [cell(answers.examples[i]) for i in scored]
    unparsed = np.array([float(answers.chosen[i] is None) for i in scored])
    found = {"choice_accuracy": mean_figure(answers.hits, cells), "choice_unparsed": mean_figure(unparsed, cells)}
    for task in answers.tasks:
        rows = [place for place, i in enumerate(scored) if answers.examples[i].task == task]
        found[f"choice_accuracy_{task}"] = mean_figure(answers.hits[rows], [cells[place] for place in rows])
    return found


def choice_differences(before: ChoiceAnswers, after: ChoiceAnswers) -> dict[str, Figure]:
    """After minus before on the same questions, with a paired interval."""
    cells = [cell(before.examples[i]) for i in before.scored]
    return {"choice_accuracy": mean_figure(after.hits - before.hits, cells)}


def choice_table(asked: Sequence[ChoiceAnswers], figures: Mapping[str, Mapping[str, Figure]]) -> str:
    """One row a policy and task, what they mean, and what is not scored."""
    rows = []
    for answers in asked:
        m = figures[answers.name]
        for task in [None, *answers.tasks]:
            of_task = [answers.examples[i] for i in answers.scored if task in (None, answers.examples[i].task)]
            if of_task:
                accuracy = percent(m["choice_accuracy" if task is None else f"choice_accuracy_{task}"])
                chance = f"{100 * np.mean([1 / len(example.choices) for example in of_task]):.1f}"
                none = percent(m["choice_unparsed"]) if task is None else ""
                rows.append([answers.name, task or "all", str(len(of_task)), accuracy, chance, none])
    last = asked[-1]
    text = "What is chosen: the answers to the lines with choices.\n\n"
    if rows:
        text += (
            markdown_table(["policy", "task", "questions", "accuracy, %", "chance, %", "names no choice, %"], rows)
            + "\n"
        )
    text += "An answer counts when it names one choice, by letter or text, and says nothing else; others are wrong.\n"
    hidden = len(last.examples) - len(last.scored)
    if hidden:
        text += f"{hidden} questions have no published answer: they are asked and written, and not scored.\n"
    for before, after in pairwise(asked):
        gain = percent(choice_differences(before, after)["choice_accuracy"])
        text += f"- {after.name} minus {before.name}: {gain} points of accuracy\n"
    return text


def choice_records(answers: ChoiceAnswers) -> Iterator[dict]:
    """One record a question: what was asked, said, chosen, and whether it is right (None where that is not known)."""
    for example, text, choice in zip(answers.examples, answers.texts, answers.chosen, strict=True):
        yield {
            "policy": answers.name,
            "id": example.id,
            "task": example.task,
            "question": example.question,
            "choices": list(example.choices),
            "answer": example.answer,
            "text": text,
            "chosen": choice,
            "right": None if example.answer is None else choice == example.answer,
        }


def mean_figure(values: np.ndarray, cells: Sequence[str]) -> Figure:
    """The mean with its interval over cells; `NOTHING` of no values."""
    return figure(bootstrap_mean(values, cells), len(values)) if len(values) else NOTHING
