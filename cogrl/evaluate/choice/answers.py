"""Questions asked of a policy in one format, with controls, and the accuracy of its answers by task."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cogrl.data.errors import raise_all
from cogrl.evaluate.choice.sampled import SampledAnswer, sampled_answers
from cogrl.evaluate.controls import Condition, sound, voice
from cogrl.evaluate.groups import cell
from cogrl.evaluate.metrics import Figure, mean_figure
from cogrl.formats import format_named
from cogrl.formats.segments import SegmentRules
from cogrl.models.audio_lm import AudioLM
from cogrl.models.prompt_length import overflows
from cogrl.progress import progress
from cogrl.rewards.accuracy import Accuracy
from cogrl.rollout.controller import Controller, segment_rules
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling
from cogrl.types import Clip, Example


@dataclass(frozen=True)
class ChoiceAnswers:
    """What a policy answered to `n` questions: its words, and the choice they name (None: none, which is wrong).

    `format` is how they were asked; `in_control[name]` are the choices that it named in each control. Of an open
    question the answer itself stands for the choice (None: an empty one), and `accuracy` says how right it is.
    `rollout[name]` is what controllers report of each answer, such as its pauses (NaN: nothing). `sampled` says how
    each came about (empty: not known), and `rules` which cited segments are valid.
    """

    name: str
    examples: Sequence[Example]
    texts: Sequence[str]
    chosen: Sequence[str | None]
    format: str = "choice"
    in_control: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    accuracy: Accuracy = field(default_factory=Accuracy)
    rollout: Mapping[str, np.ndarray] = field(default_factory=dict)
    sampled: Sequence[SampledAnswer] = ()
    rules: SegmentRules = field(default_factory=SegmentRules)

    @property
    def scored(self) -> list[int]:
        """The places of the questions whose right answer is published."""
        return [i for i, example in enumerate(self.examples) if example.answer is not None]

    @property
    def hits(self) -> np.ndarray:
        """1.0 where the right choice is named, or what `accuracy` gives an open answer; of the scored ones."""
        return self._hits(self.chosen)

    @property
    def hits_in_control(self) -> dict[str, np.ndarray]:
        """The same of each control."""
        return {control: self._hits(chosen) for control, chosen in self.in_control.items()}

    @property
    def tasks(self) -> list[str]:
        """The tasks that the lines name, sorted."""
        return sorted({example.task for example in self.examples if example.task})

    def _hits(self, chosen: Sequence[str | None]) -> np.ndarray:
        return np.array([self.value(self.examples[i], chosen[i]) for i in self.scored])

    def value(self, example: Example, chosen: str | None) -> float:
        """How right a choice, or an open answer, is to a question whose answer is published."""
        if chosen is None or example.choices:
            return float(chosen == example.answer)
        return self.accuracy.open_value(str(example.answer), chosen)


def ask(
    name: str,
    policy: AudioLM,
    clips: Sequence[Clip],
    format: str = "choice",
    controls: Mapping[str, Condition] | None = None,
    max_new_tokens: int = 128,
    accuracy: Accuracy | None = None,
    batch_size: int = 32,
    controllers: Sequence[Controller] = (),
) -> ChoiceAnswers:
    """One greedy answer to the question of each clip, and one in each control; `accuracy` is of open answers.

    `controllers` take part in all of it.

    Raises ValueError, `file:line`, for prompts that do not fit, and for a task that is called like a control: the two
    would have one name in the report.
    """
    policy.eval()
    examples = [clip.example for clip in clips]
    controls = dict(controls or {})
    clash = "is the name of a control, too; call the task something else or leave the controls out (--no-controls)"
    raise_all([f"{e.where} ({e.id}): task {e.task!r} {clash}" for e in examples if e.task in controls])
    asked = [(example, [format_named(format).instruction(example)]) for example in examples]
    raise_all(list(overflows(policy, asked, max_new_tokens)))
    instructions = [words for _, (words,) in asked]
    sampling, engine = Sampling(max_new_tokens=max_new_tokens, greedy=True), HFEngine()
    conditions = {"": voice} | controls
    with progress(desc=f"{format} of {name}", total=len(conditions) * len(clips), unit="answer") as bar:

        def said(condition: Condition) -> list[SampledAnswer]:
            inputs = condition(clips, policy.sampling_rate)
            keys = [(sound(item), words) for item, words in zip(inputs, instructions, strict=True)]
            first = {key: i for i, key in reversed(list(enumerate(keys)))}
            unique, found = sorted(first.values()), dict[int, SampledAnswer]()  # the same prompt is answered once
            for start in range(0, len(unique), batch_size):
                rows = unique[start : start + batch_size]
                batch, given = [clips[i] for i in rows], [inputs[i] for i in rows]
                how = {"inputs": given, "controllers": controllers}
                started = time.perf_counter()
                rollouts = engine.sample(policy, batch, [format] * len(rows), sampling, **how)
                seconds = time.perf_counter() - started
                sampled = sampled_answers(rollouts, controllers, policy.sampling_rate, seconds)
                found.update(zip(rows, sampled, strict=True))
                bar.update(len(rows))
            bar.update(len(clips) - len(unique))
            return [found[first[key]] for key in keys]

        answers = {control: said(condition) for control, condition in conditions.items()}

    def chosen(said: Sequence[SampledAnswer]) -> list[str | None]:
        answer_of = format_named(format).answer
        named = [answer_of(one.text, example) for one, example in zip(said, examples, strict=True)]
        none = [not one or (e.choices and one not in e.choices) for one, e in zip(named, examples, strict=True)]
        return [None if nothing else one for one, nothing in zip(named, none, strict=True)]

    own = answers.pop("")
    texts, values = [one.text for one in own], [one.reported for one in own]
    rollout = {key: np.array([one[key] for one in values]) for key in values[0]} if values else {}
    in_control = {control: chosen(said) for control, said in answers.items()}
    how_asked = format, in_control, accuracy or Accuracy()
    return ChoiceAnswers(name, examples, texts, chosen(own), *how_asked, rollout, own, segment_rules(controllers))


def choice_figures(answers: ChoiceAnswers) -> dict[str, Figure]:
    """By name, of questions asked in the format `choice`, and likewise of another.

    `choice_accuracy`, over all and as `choice_accuracy_<task>`, and both with `_<control>` for the controls;
    `choice_unparsed` is the share that names no choice. Under controllers also `choice_rollout_<name>` for what they
    report, and `choice_accuracy_aborted` of the answers that one of them ended. Each with a 95 % bootstrap interval
    over the cells of `groups.cell`; only questions with a published answer count.
    """
    scored, accuracy = answers.scored, f"{answers.format}_accuracy"
    cells = [cell(answers.examples[i]) for i in scored]
    unparsed = np.array([float(answers.chosen[i] is None) for i in scored])
    found = {f"{answers.format}_unparsed": mean_figure(unparsed, cells)}
    conditions = {"": answers.hits} | {f"_{name}": hits for name, hits in answers.hits_in_control.items()}
    for end, hits in conditions.items():
        found[accuracy + end] = mean_figure(hits, cells)
        for task in answers.tasks:
            rows = [place for place, i in enumerate(scored) if answers.examples[i].task == task]
            found[f"{accuracy}_{task}{end}"] = mean_figure(hits[rows], [cells[place] for place in rows])
    columns = {name: values[scored] for name, values in answers.rollout.items()}
    found |= {f"{answers.format}_rollout_{name}": mean_figure(values, cells) for name, values in columns.items()}
    if "aborted" in columns:
        rows = columns["aborted"].nonzero()[0]
        found[f"{accuracy}_aborted"] = mean_figure(answers.hits[rows], [cells[place] for place in rows])
    return found


def difference(before: ChoiceAnswers, after: ChoiceAnswers) -> Figure:
    """The accuracy of `after` minus that of `before` on the same questions, with a paired interval."""
    return mean_figure(after.hits - before.hits, [cell(before.examples[i]) for i in before.scored])


def choice_records(answers: ChoiceAnswers) -> Iterator[dict]:
    """One record a question: what was asked, said, chosen, and whether it is right (None where that is not known)."""
    for i, (example, text, choice) in enumerate(zip(answers.examples, answers.texts, answers.chosen, strict=True)):
        yield {
            "policy": answers.name,
            "format": answers.format,
            "id": example.id,
            "cell": cell(example),
            "task": example.task,
            "question": example.question,
            "choices": list(example.choices),
            "answer": example.answer,
            "text": text,
            "chosen": choice,
            "right": None if example.answer is None else answers.value(example, choice),
            "chosen_in_control": {control: chosen[i] for control, chosen in answers.in_control.items()},
            "rollout": {name: float(v[i]) if np.isfinite(v[i]) else None for name, v in answers.rollout.items()},
        }
