"""Five kinds of question whose answers are known because the clip was made for them.

Each function makes a block of 16 questions in which every right answer and every letter comes equally often, and where
the answers of a task are few every pair of them.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cogrl.data.recipes.balanced import combinations, latin_square, placed
from cogrl.data.recipes.qa_mini.supply import NOUNS, Supply
from cogrl.data.recipes.sounds import KINDS
from cogrl.data.synthesis.expressive import Line
from cogrl.types import Emotion

BLOCK = 16
EMOTIONS: tuple[Emotion, ...] = ("anger", "happy", "neutral", "sad")
COUNTS = {"two": 2, "three": 3, "four": 4, "five": 5}
PLACES = ("the first", "the second")


@dataclass(frozen=True)
class Question:
    """A question and what its clip is made of: lines to say, or names of sounds, with `gap_s` of silence between."""

    task: str
    question: str
    choices: tuple[str, ...]
    answer: str
    pieces: tuple[Line | str, ...]
    gap_s: float
    text: str = ""
    text_group: str = ""
    speaker: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def emotion(supply: Supply) -> Iterator[Question]:
    """Which emotion has the voice: one speaker says one sentence with all four, so the words do not show it."""
    speaker, (text,) = next(supply.readers).name, supply.sentences.take(1)
    for place, letter in combinations(4):
        label = EMOTIONS[place]
        line = Line(text, label, ("mid", "high")[letter % 2], speaker)
        yield Question(
            "emotion",
            "Which emotion does the voice have?",
            placed(EMOTIONS, label, letter, supply.rng),
            label,
            (line,),
            0.0,
            text,
            text,
            speaker,
            {"emotion": label, "intensity": line.intensity},
        )


def lower_voice(supply: Supply) -> Iterator[Question]:
    """Which of two speakers, a woman and a man, has the lower voice; both say the same two words."""
    for _ in range(4):
        words, (woman, man) = supply.word_lists.take(2), next(supply.pairs)
        text = " ".join(words)
        for place, letter in combinations(2):
            order = (man, woman) if place == 0 else (woman, man)
            yield Question(
                "lower_voice",
                "Two people speak. Which of them has the lower voice?",
                placed(PLACES, PLACES[place], letter, supply.rng),
                PLACES[place],
                tuple(Line(text, "neutral", "low", speaker.name) for speaker in order),
                0.3,
                f"{text} {text}",
                " ".join(sorted(words)),
                "+".join(sorted((woman.name, man.name))),
            )


def word_count(supply: Supply) -> Iterator[Question]:
    """How many words one speaker says, with a pause after each."""
    for place, letter in combinations(4):
        answer, speaker = list(COUNTS)[place], next(supply.readers).name
        words = supply.word_lists.take(COUNTS[answer])
        yield Question(
            "word_count",
            "How many words does the voice say?",
            placed(tuple(COUNTS), answer, letter, supply.rng),
            answer,
            tuple(Line(word, "neutral", "low", speaker) for word in words),
            0.05,
            " ".join(words),
            " ".join(sorted(words)),
            speaker,
        )


def first_sound(supply: Supply) -> Iterator[Question]:
    """Which of two sounds comes first. Each pair comes in both orders."""
    pairs = list(itertools.combinations(KINDS, 2))
    for pair in supply.rng.sample(pairs, 4):
        for place, letter in combinations(2):
            order = (pair[place], pair[1 - place])
            yield Question(
                "first_sound",
                "There are two sounds. Which of them comes first?",
                placed(pair, order[0], letter, supply.rng),
                order[0],
                order,
                0.25,
            )


def said(supply: Supply) -> Iterator[Question]:
    """Which word is said first, of three; the other options are not said. Options as in `latin_square`."""
    for _ in range(4):
        options = supply.rng.sample(NOUNS, 4)
        for choices, answer in latin_square(options):
            speaker, words = next(supply.readers).name, supply.word_lists.take(3, (answer,), choices)
            yield Question(
                "said",
                "Which word does the voice say first?",
                choices,
                answer,
                tuple(Line(word, "neutral", "low", speaker) for word in words),
                0.05,
                " ".join(words),
                " ".join(sorted(words)),
                speaker,
            )


TASKS: Mapping[str, Callable[[Supply], Iterator[Question]]] = {
    "emotion": emotion,
    "lower_voice": lower_voice,
    "word_count": word_count,
    "first_sound": first_sound,
    "said": said,
}
