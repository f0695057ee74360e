"""How many questions each split has, and its speakers."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from cogrl.data.recipes.qa_mini.supply import Sentences, Supply, WordLists
from cogrl.data.recipes.qa_mini.tasks import TASKS, Question
from cogrl.data.recipes.question_folder import SPLITS, hashed_id
from cogrl.data.synthesis import voices


@dataclass(frozen=True)
class Split:
    """`blocks` of 16 questions for each of the five tasks, spoken by `speakers`, as many women as men."""

    blocks: int
    speakers: int

    def __post_init__(self) -> None:
        if self.blocks < 1 or self.speakers < 2 or self.speakers % 2:
            raise ValueError(f"{self}: needs a block, and speakers in pairs of a woman and a man")


Plan = Mapping[str, Split]
FULL: Plan = {"sft": Split(24, 10), "rl": Split(8, 6), "val": Split(3, 2), "test": Split(6, 6)}
"""1,920, 640, 240 and 480 questions."""
SMOKE: Plan = {name: Split(1, 2) for name in SPLITS}


@dataclass(frozen=True)
class Cell:
    """One question of a split. `id` is its name in the corpus and says nothing about it."""

    id: str
    split: str
    question: Question

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"{self.question.task} of {self.split} ({self.question.text or ', '.join(self.question.choices)})"

    @property
    def seed(self) -> int:
        """Decides everything that is random about its clip."""
        return int(self.id, 16)


def cells(plan: Plan, seed: int) -> list[Cell]:
    """All questions of a plan. Raises ValueError if it asks for more speakers, sentences or word lists than there are.

    No two splits share a speaker, a sentence or a list of words.
    """
    people, needed = voices.speakers(), sum(split.speakers for split in plan.values())
    if needed > len(people):
        raise ValueError(f"the plan needs {needed} speakers, there are {len(people)}; ask for fewer")
    rng = random.Random(f"qa-mini/{seed}")
    sentences, word_lists, found = Sentences(rng), WordLists(rng), []
    for name, split in plan.items():
        own, people = people[: split.speakers], people[split.speakers :]
        supply = Supply(own, sentences, word_lists, rng)
        for task, make in TASKS.items():
            made = [question for _ in range(split.blocks) for question in make(supply)]
            found += [Cell(hashed_id(seed, name, task, number), name, question) for number, question in enumerate(made)]
    return found
