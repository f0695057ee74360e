"""A question and the clip that is made for it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PlannedTurn:
    """What one speaker says; `source` is what the recipe makes its samples of."""

    speaker: str
    text: str
    source: Any


@dataclass(frozen=True)
class Question:
    """A question, its turns in their order, and the label and source of the environment around them."""

    task: str
    question: str
    choices: tuple[str, ...]
    answer: str
    turns: tuple[PlannedTurn, ...]
    environment: str
    environment_source: Any = None


@dataclass(frozen=True)
class Cell:
    """One question of a manifest. `id` is its name in the corpus and says nothing about it."""

    id: str
    split: str
    question: Question
    snr_db: float

    @property
    def seed(self) -> int:
        """Decides everything that is random about its clip."""
        return int(self.id, 16)
