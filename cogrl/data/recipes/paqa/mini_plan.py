"""How large PAQA-mini is, and which speakers and words its parts have."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from cogrl.data.recipes.paqa import plan
from cogrl.data.recipes.paqa.item import Cell
from cogrl.data.recipes.paqa.mini_questions import MiniSupply
from cogrl.data.recipes.paqa.plan import ASKED, SNR_DB
from cogrl.data.recipes.paqa.speakers import SPEAKERS
from cogrl.data.recipes.paqa.vocabulary import Pairs


@dataclass(frozen=True)
class Plan:
    """Questions of each task by manifest, as near as whole blocks come, of at most `speakers` for each voice.

    A word has `takes` readings a speaker.
    """

    questions: Mapping[str, int]
    speakers: int
    takes: int


FULL = Plan({"sft": 450, "rl": 150, "val": 60, "test": 120, "msqa_hard": 72, "envqa_hard": 72}, speakers=10, takes=1)
SMOKE = Plan(dict.fromkeys(ASKED, 8), speakers=1, takes=1)


def cells(size: Plan, seed: int, snr_db: tuple[float, float] = SNR_DB) -> list[Cell]:
    """All questions of PAQA-mini; no two of sft, rl, val and test share a speaker."""

    def supply(part: str, least_voices: int, rng: random.Random) -> MiniSupply:
        people = {voice: names[: size.speakers] for voice, names in SPEAKERS[part].items()}
        return MiniSupply(people, Pairs(rng), least_voices, size.takes, rng)

    return plan.cells(size.questions, seed, snr_db, supply)
