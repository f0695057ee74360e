"""Reflection triples: a wrong response, what is wrong with it by what is heard, and the right answer.

Four planted errors, as PAQA's automatic checks find them (HyPeR, arXiv:2604.14806): an option that the trace does not
lead to, words of another speaker, a contradiction of the transcript, noise that is misread.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from cogrl.data.recipes.balanced import placed
from cogrl.data.recipes.paqa.template import asked_speaker, reasoning
from cogrl.data.recipes.question_folder import hashed_id
from cogrl.formats.paqa import PAQA
from cogrl.types import Example

QUOTING = ("asr", "reflect")
"""The fields of a triple that hold no planted error: their quotes have to exist."""


def reflections(examples: Sequence[Example], share: float, seed: int) -> Iterator[Example]:
    """`share` times as many lines as `examples`, with the four errors in turn, about the same clips.

    A line has an id of its own, its choices in an order in which each letter is right equally often, and the kind of
    its error and the id of its model in `synthesis`. Fewer come where an error can be planted nowhere else.
    """
    rng = random.Random(f"paqa/reflections/{seed}")
    fitting = {kind: [one for one in examples if wrong(one)] for kind, wrong in WRONG.items()}
    sources = {kind: iter(rng.sample(found, len(found))) for kind, found in fitting.items()}
    letters: dict[int, Iterator[int]] = {}
    for _, kind in zip(range(round(share * len(examples))), itertools.cycle(WRONG), strict=False):
        example = next(sources[kind], None)
        if example is not None:
            letter = next(letters.setdefault(len(example.choices), itertools.cycle(range(len(example.choices)))))
            yield planted(example, kind, letter, rng)


def planted(example: Example, kind: str, letter: int, rng: random.Random) -> Example:
    """The line with the error and its correction in its target `paqa`, and its answer at the place of `letter`."""
    answer, said = str(example.answer), rng.choice(WRONG[kind](example))
    fields = (PAQA.parse(example.targets["paqa"]) or {}) | {"response": said, "reflect": diagnosis(example, said)}
    if kind != "wrong_option":
        fields |= {"reasoning": reasoning(example, said), "summary": said}
    if kind == "misread_noise":
        fields["environment"] = said
    return replace(
        example,
        id=hashed_id("reflection", example.id, kind),
        choices=placed(example.choices, answer, letter, rng),
        targets={**example.targets, "paqa": PAQA.render(fields)},
        synthesis={**example.synthesis, "reflection": kind, "reflection_of": example.id},
    )


def diagnosis(example: Example, said: str) -> str:
    """Environment, speaker and words, and from them the answer instead of what was `said`."""
    around = f"in {example.environment}" if example.environment else "with nothing around"
    if example.task == "say":
        return f"{around} {asked_speaker(example)} says {example.answer}, not {said}"
    cited = example.speech if example.task == "count" else example.speech[:1]
    turns = ", ".join(f"{turn.speaker} says {turn.text}" for turn in cited)
    return f"{around} {turns}: {example.answer}, not {said}"


def _others(example: Example) -> list[str]:
    return [choice for choice in example.choices if choice != example.answer]


def _of_another_speaker(example: Example) -> list[str]:
    there = {text for turn in example.speech for text in (turn.text, turn.speaker)}
    return [choice for choice in _others(example) if choice in there] if example.task in ("say", "first") else []


def _against_the_transcript(example: Example) -> list[str]:
    said = {turn.text for turn in example.speech}
    return [choice for choice in _others(example) if choice not in said] if example.task in ("say", "count") else []


WRONG: Mapping[str, Callable[[Example], list[str]]] = {
    "wrong_option": _others,
    "wrong_speaker": _of_another_speaker,
    "contradiction": _against_the_transcript,
    "misread_noise": lambda example: _others(example) if example.task == "environment" else [],
}
"""By kind of error: the options it can lead to; none where it can not be planted."""
