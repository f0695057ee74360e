"""How many questions each manifest has, of which speakers and words, at which SNR."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cogrl.data.recipes.paqa.questions import TASKS, Question, Supply
from cogrl.data.recipes.paqa.speakers import SPEAKERS
from cogrl.data.recipes.paqa.vocabulary import Pairs
from cogrl.data.recipes.question_folder import hashed_id

SPLITS = ("sft", "rl", "val", "test")
HARD = {"msqa_hard": ("say", "count", "first"), "envqa_hard": ("environment",)}
"""Further tests, of the speakers and words of `test`, at `HARD_SNR_DB`, and their tasks."""
MANIFESTS = (*SPLITS, *HARD)
SNR_DB = (0.0, 20.0)
HARD_SNR_DB = (0.0, 5.0)


@dataclass(frozen=True)
class Plan:
    """Questions of each task by manifest, as near as whole blocks come, of at most `speakers` for each voice.

    A word has `takes` readings a speaker.
    """

    questions: Mapping[str, int]
    speakers: int
    takes: int


FULL = Plan({"sft": 450, "rl": 150, "val": 60, "test": 120, "msqa_hard": 72, "envqa_hard": 72}, speakers=3, takes=2)
SMOKE = Plan(dict.fromkeys(MANIFESTS, 8), speakers=1, takes=1)


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


def cells(plan: Plan, seed: int, snr_db: tuple[float, float] = SNR_DB) -> list[Cell]:
    """All questions of a plan. The SNR of each is drawn uniformly from `snr_db`, in equal layers for each task.

    No two of sft, rl, val and test share a speaker or a pair of words. Raises ValueError for a range of SNR that goes
    below 0 dB.
    """
    check_snr(snr_db)
    found = []
    for name, each in plan.questions.items():
        rng, part = random.Random(f"paqa/{seed}/{name}"), name if name in SPLITS else "test"
        pairs = Pairs(part, seed, rng)
        people = {voice: names[: plan.speakers] for voice, names in SPEAKERS[part].items()}
        supply = Supply(people, pairs, 2 if name in HARD else 1, plan.takes, rng)
        for task in HARD.get(name, TASKS):
            make, size = TASKS[task]
            made = [question for _ in range(max(1, round(each / size))) for question in make(supply)]
            levels = _levels(len(made), HARD_SNR_DB if name in HARD else snr_db, rng)
            for number, (question, level) in enumerate(zip(made, levels, strict=True)):
                found.append(Cell(hashed_id("paqa", seed, name, task, number), name, question, level))
    return found


def check_snr(snr_db: tuple[float, float]) -> None:
    """Raises ValueError unless 0 <= low <= high."""
    low, high = snr_db
    if not 0 <= low <= high < float("inf"):
        reason = "the environment would be louder than the speech" if low < 0 else "LOW must not be above HIGH"
        raise ValueError(f"--snr-db {low:g} {high:g}: {reason}; give a range of 0 dB or more, such as 0 20")


def _levels(count: int, snr_db: tuple[float, float], rng: random.Random) -> Sequence[float]:
    """One from each of `count` equal layers of the range, in an order that is drawn."""
    low, high = snr_db
    levels = [math.floor(100 * (low + (high - low) * (layer + rng.random()) / count)) / 100 for layer in range(count)]
    rng.shuffle(levels)
    return levels
