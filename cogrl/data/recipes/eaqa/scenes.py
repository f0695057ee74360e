"""The clips of EAQA before they are made: who and what sounds in which order, and what is asked."""

import random
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from cogrl.data.recipes.eaqa.item import Asked, Item, Scene
from cogrl.data.recipes.eaqa.plan import Part, Plan, tasks_of
from cogrl.data.recipes.eaqa.tasks import Impossible, Questions
from cogrl.data.recipes.question_folder import hashed_id

SNR_DB = (5.0, 15.0)
_TRIES = 500


@runtime_checkable
class Supply(Protocol):
    """The voices and sounds of one part of a corpus, and the questions about them."""

    questions: Questions

    def items(self, voices: int, sounds: int, tasks: Sequence[str]) -> list[Item]:
        """So many of each, of which the tasks can be asked, in an order that is drawn."""

    def duration_s(self, items: Sequence[Item], number: int) -> float:
        """Of the clip of this number with these items, in seconds; a multiple of the grid of cited times."""


def scenes(
    plan: Plan, seed: int, snr_db: tuple[float, float], supply: Callable[[Part, random.Random], Supply]
) -> list[Scene]:
    """All clips with their questions. Raises ValueError for an SNR below 0 dB and for questions that can not be asked.

    `supply(part, rng)` is what the clips of one manifest are made of.
    """
    low, high = snr_db
    if not 0 <= low <= high < float("inf"):
        raise ValueError(f"--snr-db {low:g} {high:g}: give a range of 0 dB or more, such as 5 15")
    found: list[Scene] = []
    for name, part in plan.items():
        rng = random.Random(f"eaqa/{seed}/{name}")
        own = supply(part, rng)
        for number, tasks in enumerate(tasks_of(part, rng)):
            items, asked = _asked(own, part, tasks, name)
            length_s = own.duration_s(items, number)
            level = round(rng.uniform(low, high), 2)
            id = hashed_id("eaqa", seed, name, number)
            found.append(Scene(id, name, tuple(items), tuple(asked), length_s, level, part.formats))
    return found


def _asked(supply: Supply, part: Part, tasks: Sequence[str], name: str) -> tuple[list[Item], list[Asked]]:
    """Items, and a question of each task about them. Raises ValueError where none are found."""
    reason = ""
    for _ in range(_TRIES):
        items, asked = supply.items(part.voices, part.sounds, tasks), list[Asked]()
        try:
            for task in tasks:
                asked.append(supply.questions.ask(task, items, asked))
        except Impossible as error:
            reason = str(error)
            continue
        return items, [supply.questions.placed(one) for one in asked]
    raise ValueError(
        f"{name}: no clip of {part.voices} voices and {part.sounds} sounds fits {', '.join(tasks)}: {reason}"
    )
