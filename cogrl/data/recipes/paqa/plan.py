"""How many questions each manifest has, of which part of the material, at which SNR."""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from cogrl.data.recipes.paqa.item import Cell, Question
from cogrl.data.recipes.question_folder import SPLITS, hashed_id

HARD = {"msqa_hard": ("say", "count", "first"), "envqa_hard": ("environment",)}
"""Further tests, of the material of `test`, at `HARD_SNR_DB`, and their tasks."""
SPEECH_ALONE = "test_speech"
"""The questions of `test` about its speech without the environment: a control."""
ASKED = (*SPLITS, *HARD)
MANIFESTS = (*ASKED, SPEECH_ALONE)
SNR_DB = (0.0, 20.0)
HARD_SNR_DB = (0.0, 5.0)


class Supply(Protocol):
    """The material of one part of the corpus; `tasks` makes blocks of questions of it, of these sizes, by task."""

    tasks: Mapping[str, tuple[Callable[[], Iterator[Question]], int]]


def cells(
    questions: Mapping[str, int],
    seed: int,
    snr_db: tuple[float, float],
    supply: Callable[[str, int, random.Random], Supply],
) -> list[Cell]:
    """All questions: of each task about `questions[manifest]`, in whole blocks.

    `supply(part, least_voices, rng)` is the material of sft, rl, val or test, with so many voices at least where one
    is asked for. The SNR of each question is drawn uniformly from `snr_db`, in equal layers for each task. Raises
    ValueError for a range of SNR that goes below 0 dB.
    """
    check_snr(snr_db)
    found = []
    for name, each in questions.items():
        rng = random.Random(f"paqa/{seed}/{name}")
        tasks = supply(name if name in SPLITS else "test", 2 if name in HARD else 1, rng).tasks
        for task in [task for task in HARD.get(name, tuple(tasks)) if task in tasks]:
            make, size = tasks[task]
            made = [question for _ in range(max(1, round(each / size))) for question in make()]
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
