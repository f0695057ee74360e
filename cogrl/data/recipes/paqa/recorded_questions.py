"""The four kinds of question about recorded speech; who speaks is called Speaker 1, 2, 3 in the order of entering."""

import itertools
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from cogrl.data.recipes.balanced import combinations, latin_square, placed
from cogrl.data.recipes.paqa.item import PlannedTurn, Question
from cogrl.data.recipes.paqa.mini_questions import COUNT_QUESTION, COUNTS, ENVIRONMENT_QUESTION
from cogrl.data.recipes.paqa.plan import Supply
from cogrl.data.recipes.recordings import Recording
from cogrl.words import words

_TRIES = 200


class RecordedSupply(Supply):
    """The recordings of one part, and its files of each environment; `part` is its name in messages.

    `environment` is asked for where there are two labels or more.
    """

    def __init__(
        self,
        part: str,
        recordings: Sequence[Recording],
        environments: Mapping[str, Sequence[Path]],
        least_voices: int,
        rng: random.Random,
    ) -> None:
        self.part, self.recordings, self.environments, self.rng = part, recordings, environments, rng
        self.labels = itertools.cycle(rng.sample(sorted(environments), len(environments)))
        self.counts = itertools.cycle(number for number in (1, 2, 3, 2) if number >= least_voices)
        self.several = itertools.cycle((2, 3))
        self.tasks = {"say": (self.say, 4), "count": (self.count, 9), "first": (self.first, 4)}
        if len(environments) > 1:
            self.tasks["environment"] = (self.environment, 4 if len(environments) > 3 else len(environments) ** 2)

    def say(self) -> Iterator[Question]:
        """What a speaker says, of four texts; another speaker says one of the others."""
        for choices, answer, said in self._quoted():
            turns = self.rng.sample(said, len(said))
            place = turns.index(said[0])
            yield self._question("say", f"What does Speaker {place + 1} say?", choices, answer, turns)

    def first(self) -> Iterator[Question]:
        """What is said first, of four texts; another of them is said later."""
        for choices, answer, said in self._quoted():
            turns = [said[0], *self.rng.sample(said[1:], len(said) - 1)]
            yield self._question("first", "What is said first?", choices, answer, turns)

    def count(self) -> Iterator[Question]:
        """How many people speak."""
        for place, letter in combinations(3):
            choices = placed(COUNTS, COUNTS[place], letter, self.rng)
            yield self._question("count", COUNT_QUESTION, choices, COUNTS[place], self._others(place + 1))

    def environment(self) -> Iterator[Question]:
        """What is heard around the speech, of four labels or all there are."""
        labels = sorted(self.environments)
        if len(labels) > 3:
            asked = latin_square(self.rng.sample(labels, 4))
        else:
            pairs = combinations(len(labels))
            asked = ((placed(labels, labels[place], letter, self.rng), labels[place]) for place, letter in pairs)
        for choices, answer in asked:
            turns = self._others(next(self.counts))
            yield self._question("environment", ENVIRONMENT_QUESTION, choices, answer, turns, answer)

    def _quoted(self) -> Iterator[tuple[tuple[str, ...], str, list[Recording]]]:
        """Four times (choices, answer, recordings: of the answer, of another choice, perhaps of a third speaker)."""
        one = self._others(2)
        options = [*one, *self._others(2, one)]
        texts = [recording.text for recording in options]
        for choices, answer in latin_square(texts):
            place = texts.index(answer)
            said = [options[place], options[place ^ 1]]
            if next(self.several) == 3:
                said += self._others(1, options, {recording.speaker for recording in said})
            yield choices, answer, said

    def _others(self, count: int, without: Sequence[Recording] = (), speakers: Collection[str] = ()) -> list[Recording]:
        """`count` recordings of different speakers and words, with no text of `without` and none of `speakers`.

        Raises ValueError where there are none.
        """
        known = {words(one.text) for one in without}
        for _ in range(_TRIES):
            found = self.rng.sample(self.recordings, min(count, len(self.recordings)))
            said, people = {words(one.text) for one in found}, {one.speaker for one in found}
            if len(said) == len(people) == count and said.isdisjoint(known) and people.isdisjoint(speakers):
                return found
        raise ValueError(
            f"{self.part}: {len(self.recordings)} recordings are too few or too much alike for questions with four "
            "texts and three speakers; add recordings"
        )

    def _question(
        self,
        task: str,
        question: str,
        choices: Sequence[str],
        answer: str,
        turns: Sequence[Recording],
        environment: str | None = None,
    ) -> Question:
        label = environment or next(self.labels)
        named = tuple(PlannedTurn(f"Speaker {n}", one.text, one) for n, one in enumerate(turns, start=1))
        return Question(task, question, tuple(choices), answer, named, label, self.rng.choice(self.environments[label]))
