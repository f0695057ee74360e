"""Which clips a LIME corpus has: texts x readers x seven emotions x three intensities, split by split.

A reading is one text read by one speaker with every emotion at every intensity: 21 clips. So text, speaker and
intensity say nothing about the emotion. Splits share neither texts nor speakers.
"""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cogrl.data.corpora.corpus import same_words
from cogrl.types import EMOTIONS, INTENSITIES, Emotion, Intensity

SPLITS = ("sft", "rl", "val", "test")


@dataclass(frozen=True)
class Split:
    """`texts` sentences, each read by `readers` of the split's own `speakers` (None: by all of them)."""

    texts: int
    speakers: int
    readers: int | None = None

    def __post_init__(self) -> None:
        if self.texts < 1 or not 1 <= (self.speakers if self.readers is None else self.readers) <= self.speakers:
            raise ValueError(f"{self}: at least one text, one speaker, and no more readers than speakers")


Plan = Mapping[str, Split]
FULL: Plan = {"sft": Split(40, 11, 2), "rl": Split(20, 7, 2), "val": Split(20, 2, 1), "test": Split(20, 4, 2)}
"""180 readings, 3,780 clips: with the embedded voices a matter of minutes."""
SMOKE: Plan = {"sft": Split(3, 2, 1), "rl": Split(1, 1), "val": Split(1, 1), "test": Split(1, 1)}


@dataclass(frozen=True)
class Clip:
    """One clip to make. `id` is its name in the corpus and says nothing about it."""

    id: str
    split: str
    scenario: str
    text: str
    text_group: str
    speaker: str
    emotion: Emotion
    intensity: Intensity

    @property
    def reading(self) -> tuple[str, str]:
        return self.text_group, self.speaker


def wanted(plan: Plan, scenarios: Sequence[str]) -> dict[str, int]:
    """How many sentences each scenario has to give; the scenarios take turns."""
    total = sum(split.texts for split in plan.values())
    counts = {name: len(range(place, total, len(scenarios))) for place, name in enumerate(scenarios)}
    return {name: count for name, count in counts.items() if count}


def clips(
    plan: Plan, scenarios: Sequence[str], sentences: Mapping[str, Sequence[str]], speakers: Sequence[str], seed: int
) -> list[Clip]:
    """All clips of a plan, reading by reading.

    Texts go round the scenarios, so that a split has them as evenly as its size allows; speakers are taken in order.
    Raises ValueError for splits that are none, and for a plan with more speakers than there are.
    """
    check_plan(plan, speakers)
    turns = itertools.cycle((name, iter(sentences.get(name, ()))) for name in scenarios)
    people, found = iter(speakers), []
    for name, split in plan.items():
        own = list(itertools.islice(people, split.speakers))
        readers, place = split.readers or split.speakers, 0
        for scenario, rest in itertools.islice(turns, split.texts):
            text = next(rest)
            for speaker in (own[(place + i) % len(own)] for i in range(readers)):
                found += _reading(name, scenario, text, speaker, seed)
            place += readers
    return found


def check_plan(plan: Plan, speakers: Sequence[str]) -> None:
    """Raises ValueError for a plan that can not be carried out with these speakers."""
    unknown = [name for name in plan if name not in SPLITS]
    if unknown or not plan:
        raise ValueError(f"splits: {', '.join(unknown) or 'none given'}; allowed: {', '.join(SPLITS)}")
    if len(set(speakers)) < len(speakers):
        raise ValueError("a speaker is named twice: two splits could share him; name each once")
    needed = sum(split.speakers for split in plan.values())
    if needed > len(speakers):
        raise ValueError(
            f"the splits ask for {needed} speakers, no two share one, and the synthesiser has {len(speakers)}; "
            "ask for fewer or add speakers"
        )


def _reading(split: str, scenario: str, text: str, speaker: str, seed: int) -> list[Clip]:
    group = same_words(text)
    return [
        Clip(_name(seed, speaker, text, emotion, intensity), split, scenario, text, group, speaker, emotion, intensity)
        for emotion in EMOTIONS
        for intensity in INTENSITIES
    ]


def _name(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]
