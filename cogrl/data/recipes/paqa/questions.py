"""Four kinds of question whose answers are known because the clip was made for them: say, count, environment, first.

Each function makes a block in which every right answer and every letter comes equally often.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cogrl.data.recipes.balanced import combinations, latin_square, placed
from cogrl.data.recipes.paqa.environments import KINDS
from cogrl.data.recipes.paqa.speakers import F0_HZ, Utterance
from cogrl.data.recipes.paqa.vocabulary import Pair, Pairs

VOICES = tuple(F0_HZ)
COUNTS = ("1", "2", "3")


@dataclass(frozen=True)
class PlannedTurn:
    """Two words of one voice: what is rendered for it."""

    voice: str
    utterances: tuple[Utterance, Utterance]

    @property
    def text(self) -> str:
        return " ".join(word for _, _, word, _ in self.utterances)


@dataclass(frozen=True)
class Question:
    """A question, and what its clip is made of. `asked` is the voice that it names, or ''."""

    task: str
    question: str
    choices: tuple[str, ...]
    answer: str
    turns: tuple[PlannedTurn, ...]
    environment: str
    asked: str = ""


class Supply:
    """What the questions of one split are made of: its speakers, word pairs, environments, numbers of voices."""

    def __init__(
        self, speakers: Mapping[str, Sequence[str]], pairs: Pairs, least_voices: int, takes: int, rng: random.Random
    ) -> None:
        self.speakers, self.pairs, self.takes, self.rng = speakers, pairs, takes, rng
        self.environments = itertools.cycle(rng.sample(list(KINDS), len(KINDS)))
        self.voices_of_say = itertools.cycle(number for number in (1, 2, 3, 2) if number >= least_voices)
        self.voices_of_first = itertools.cycle((2, 3))
        self.voices_of_environment = itertools.cycle((1, 2, 3))

    def turns(self, voices: Sequence[str], pairs: Sequence[Pair] = ()) -> tuple[PlannedTurn, ...]:
        """One turn a voice, in this order: `pairs` first, then others that share no word with any."""
        said = list(pairs[: len(voices)])
        while len(said) < len(voices):
            said.append(self.pairs.pair({word for pair in (*pairs, *said) for word in pair}))
        return tuple(self._turn(voice, pair) for voice, pair in zip(voices, said, strict=True))

    def voices(self, count: int, first: str | None = None) -> list[str]:
        """`count` voices in an order that is drawn, `first` at the beginning."""
        others = self.rng.sample([voice for voice in VOICES if voice != first], count - (first is not None))
        return [first, *others] if first is not None else others

    def _turn(self, voice: str, pair: Pair) -> PlannedTurn:
        speaker = self.rng.choice(self.speakers[voice])
        one, two = ((voice, speaker, word, self.rng.randrange(self.takes)) for word in pair)
        return PlannedTurn(voice, (one, two))


def say(supply: Supply) -> Iterator[Question]:
    """What a voice says: of its words and those of another voice, two words each, every combination is an option."""
    grid = supply.pairs.grid()
    texts = [" ".join(pair) for pair in grid]
    for choices, answer in latin_square(texts):
        place, asked = texts.index(answer), supply.rng.choice(VOICES)
        voices = supply.voices(next(supply.voices_of_say), first=asked)
        turns = list(supply.turns(voices, (grid[place], grid[place ^ 1])))
        supply.rng.shuffle(turns)
        question = f"What does the {asked} voice say?"
        yield Question("say", question, choices, answer, tuple(turns), next(supply.environments), asked)


def count(supply: Supply) -> Iterator[Question]:
    """How many people speak; babble in the background is not meant."""
    for place, letter in combinations(3):
        choices = placed(COUNTS, COUNTS[place], letter, supply.rng)
        turns = supply.turns(supply.voices(place + 1))
        yield Question(
            "count", "How many people take a turn?", choices, COUNTS[place], turns, next(supply.environments)
        )


def environment(supply: Supply) -> Iterator[Question]:
    """What is heard around the speech, of four kinds."""
    for choices, answer in latin_square(supply.rng.sample(list(KINDS), 4)):
        turns = supply.turns(supply.voices(next(supply.voices_of_environment)))
        yield Question("environment", "What is in the background?", choices, answer, turns, answer)


def first(supply: Supply) -> Iterator[Question]:
    """Which voice speaks first, of two or three."""
    for place, letter in combinations(3):
        choices = placed(VOICES, VOICES[place], letter, supply.rng)
        turns = supply.turns(supply.voices(next(supply.voices_of_first), first=VOICES[place]))
        yield Question("first", "Which voice speaks first?", choices, VOICES[place], turns, next(supply.environments))


TASKS: Mapping[str, tuple[Callable[[Supply], Iterator[Question]], int]] = {
    "say": (say, 4),
    "count": (count, 9),
    "environment": (environment, 4),
    "first": (first, 9),
}
"""By name: the function, and how many questions its block has."""
