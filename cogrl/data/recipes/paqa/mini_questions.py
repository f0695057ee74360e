"""Four kinds of question of PAQA-mini whose answers are known because the clip was made for them.

Each kind comes in blocks in which every right answer and every letter comes equally often.
"""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence

from cogrl.data.recipes.balanced import combinations, latin_square, placed
from cogrl.data.recipes.paqa.environments import KINDS
from cogrl.data.recipes.paqa.item import PlannedTurn, Question
from cogrl.data.recipes.paqa.plan import Supply
from cogrl.data.recipes.paqa.speakers import F0_HZ
from cogrl.data.recipes.paqa.vocabulary import Pair, Pairs

VOICES = tuple(F0_HZ)
COUNTS = ("1", "2", "3")
COUNT_QUESTION = "How many people take a turn?"
ENVIRONMENT_QUESTION = "What is in the background?"


class MiniSupply(Supply):
    """Speakers by voice, word pairs, environments; a word has `takes` readings, `say` at least `least_voices`."""

    def __init__(
        self, speakers: Mapping[str, Sequence[str]], pairs: Pairs, least_voices: int, takes: int, rng: random.Random
    ) -> None:
        self.speakers, self.pairs, self.takes, self.rng = speakers, pairs, takes, rng
        self.environments = itertools.cycle(rng.sample(list(KINDS), len(KINDS)))
        self.voices_of_say = itertools.cycle(number for number in (1, 2, 3, 2) if number >= least_voices)
        self.voices_of_first = itertools.cycle((2, 3))
        self.voices_of_environment = itertools.cycle((1, 2, 3))
        self.tasks = {
            "say": (self.say, 4),
            "count": (self.count, 9),
            "environment": (self.environment, 4),
            "first": (self.first, 9),
        }

    def say(self) -> Iterator[Question]:
        """What a voice says: of its words and those of another voice, two each, every combination is an option."""
        grid = self.pairs.grid()
        texts = [" ".join(pair) for pair in grid]
        for choices, answer in latin_square(texts):
            place, asked = texts.index(answer), self.rng.choice(VOICES)
            turns = self._turns(self._voices(next(self.voices_of_say), first=asked), (grid[place], grid[place ^ 1]))
            self.rng.shuffle(turns)
            yield self._question("say", f"What does the {asked} voice say?", choices, answer, turns)

    def count(self) -> Iterator[Question]:
        """How many people speak, without the babble in the background."""
        for place, letter in combinations(3):
            choices = placed(COUNTS, COUNTS[place], letter, self.rng)
            turns = self._turns(self._voices(place + 1))
            yield self._question("count", COUNT_QUESTION, choices, COUNTS[place], turns)

    def environment(self) -> Iterator[Question]:
        """What is heard around the speech, of four kinds."""
        for choices, answer in latin_square(self.rng.sample(list(KINDS), 4)):
            turns = self._turns(self._voices(next(self.voices_of_environment)))
            yield Question("environment", ENVIRONMENT_QUESTION, choices, answer, tuple(turns), answer)

    def first(self) -> Iterator[Question]:
        """Which voice speaks first, of two or three."""
        for place, letter in combinations(3):
            choices = placed(VOICES, VOICES[place], letter, self.rng)
            turns = self._turns(self._voices(next(self.voices_of_first), first=VOICES[place]))
            yield self._question("first", "Which voice speaks first?", choices, VOICES[place], turns)

    def _question(
        self, task: str, question: str, choices: tuple[str, ...], answer: str, turns: Sequence[PlannedTurn]
    ) -> Question:
        return Question(task, question, choices, answer, tuple(turns), next(self.environments))

    def _voices(self, count: int, first: str | None = None) -> list[str]:
        """`count` voices in an order that is drawn, `first` at the beginning."""
        others = self.rng.sample([voice for voice in VOICES if voice != first], count - (first is not None))
        return [first, *others] if first is not None else others

    def _turns(self, voices: Sequence[str], pairs: Sequence[Pair] = ()) -> list[PlannedTurn]:
        """One turn a voice, in this order: `pairs` first, then others that share no word with any."""
        said = list(pairs[: len(voices)])
        while len(said) < len(voices):
            said.append(self.pairs.pair({word for pair in (*pairs, *said) for word in pair}))
        return [self._turn(voice, pair) for voice, pair in zip(voices, said, strict=True)]

    def _turn(self, voice: str, pair: Pair) -> PlannedTurn:
        speaker = self.rng.choice(self.speakers[voice])
        utterances = tuple((voice, speaker, word, self.rng.randrange(self.takes)) for word in pair)
        return PlannedTurn(voice, " ".join(pair), utterances)
