"""How many clips each manifest of EAQA has, how long they are, and which tasks are asked."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cogrl.data.recipes.eaqa.tasks import TASKS
from cogrl.data.recipes.question_folder import SPLITS

MIX: Mapping[str, float] = {"say": 0.76, "after": 0.06, "two": 0.06, "count": 0.04, "order": 0.04, "pitch": 0.04}
"""Shares of the tasks of sft, rl, val and test."""
REPEATED = ("say",)
"""Tasks that may be asked several times about one clip."""
WARM_UP = ("said", "when", "cite")
"""Tasks of the warm-up alone."""


@dataclass(frozen=True)
class Part:
    """The clips of a manifest.

    Args:
        clips: how many.
        voices, sounds: in each.
        lengths_s: of a clip, one of these in turn, in seconds; multiples of the grid of cited times.
        questions: about each.
        shares: of the questions, by task; they sum to 1.
        formats: that its questions have targets of.
        speakers: the part of the corpus that its speakers and words are of.
    """

    clips: int
    voices: int
    sounds: int
    lengths_s: tuple[float, ...]
    questions: int
    shares: Mapping[str, float]
    formats: tuple[str, ...]
    speakers: str = "sft"


Plan = Mapping[str, Part]
_LONG = Part(0, 4, 4, (10.0,), 4, MIX, ())
_WHEN = replace(_LONG, questions=1, shares={"when": 1.0}, formats=("choice",))
FULL: Plan = {
    "short": Part(4000, 1, 0, (1.0, 1.5, 2.0), 1, {"said": 1.0}, ("choice",)),
    "alone": replace(_WHEN, clips=800, voices=1, sounds=0),
    "pair": replace(_WHEN, clips=800, voices=1, sounds=1),
    "warm": replace(_WHEN, clips=800),
    "cite": replace(_WHEN, clips=800, shares={"cite": 1.0}),
    "sft": replace(_LONG, clips=800, formats=("choice", "echo")),
    "rl": replace(_LONG, clips=300, speakers="rl"),
    "val": replace(_LONG, clips=40, formats=("choice", "echo"), speakers="val"),
    "test": replace(_LONG, clips=160, speakers="test"),
}
"""short, alone, pair, warm and cite are for a warm-up; they are of sft's speakers and words."""
SMOKE: Plan = {name: replace(part, clips=5 if name == "sft" else 3) for name, part in FULL.items()}


def sized(plan: Plan, clips: Mapping[str, int], shares: Mapping[str, float]) -> Plan:
    """The plan with other numbers of clips, and other shares of tasks in sft, rl, val and test.

    A manifest of 0 clips is left out. Raises ValueError for an unknown name, for a number below 0, and for shares that
    do not sum to 1 or ask one question twice about a clip.
    """
    for name, number in clips.items():
        if name not in plan or number < 0:
            raise ValueError(f"--clips {name}={number}: give 0 or more clips of {', '.join(plan)}")
    asked = shares or MIX
    unknown = [name for name in asked if name not in TASKS or name in WARM_UP]
    if unknown or min(asked.values()) < 0 or not math.isclose(sum(asked.values()), 1, abs_tol=1e-6):
        listed = ", ".join(f"{name}={share:g}" for name, share in asked.items())
        known = ", ".join(name for name in TASKS if name not in WARM_UP)
        raise ValueError(f"--tasks {listed}: shares of {known} that are 0 or more and sum to 1")
    sizes = {name: replace(part, clips=clips.get(name, part.clips)) for name, part in plan.items()}
    if shares:
        sizes |= {name: replace(sizes[name], shares=shares) for name in SPLITS if name in sizes}
    for part in sizes.values():
        _check(part)
    return {name: part for name, part in sizes.items() if part.clips}


def tasks_of(part: Part, rng: random.Random) -> list[list[str]]:
    """The tasks of the questions of each clip: in all as the shares say, to one question.

    A task that can be asked once about a clip is never there twice.
    """
    total = part.clips * part.questions
    numbers = _rounded({task: share * total for task, share in part.shares.items()}, total)
    clips: list[list[str]] = [[] for _ in range(part.clips)]
    order = rng.sample(range(part.clips), part.clips)
    once = [task for task, number in numbers.items() if task not in REPEATED for _ in range(number)]
    for place, task in enumerate(once):
        clips[order[place % len(order)]].append(task)
    rest = [task for task in REPEATED for _ in range(numbers.get(task, 0))]
    rng.shuffle(rest)
    for tasks in clips:
        while len(tasks) < part.questions and rest:
            tasks.append(rest.pop())
    return clips


def _rounded(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers that sum to `total`; those with the largest remainders are rounded up."""
    numbers = {name: math.floor(share) for name, share in shares.items()}
    by_remainder: Sequence[str] = sorted(shares, key=lambda name: numbers[name] - shares[name])
    for name in by_remainder[: total - sum(numbers.values())]:
        numbers[name] += 1
    return numbers


def _check(part: Part) -> None:
    once = {name: share for name, share in part.shares.items() if name not in REPEATED and part.questions > 1}
    for name, share in once.items():
        if share > 1 / part.questions + 1e-9:
            raise ValueError(
                f"--tasks {name}={share:g}: it is asked once about a clip of {part.questions} questions; give at most "
                f"{1 / part.questions:g}"
            )
