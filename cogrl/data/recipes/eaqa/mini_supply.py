"""The voices, words and sounds of EAQA-mini."""

import random
from collections.abc import Mapping, Sequence

from cogrl.data.recipes.eaqa.item import Item
from cogrl.data.recipes.eaqa.plan import Part
from cogrl.data.recipes.eaqa.scenes import Supply
from cogrl.data.recipes.eaqa.sounds import EVENTS, HIGH_BEEP, KNOCK, LOW_BEEP, MOST_BLOWS
from cogrl.data.recipes.eaqa.tasks import Questions
from cogrl.data.recipes.eaqa.voices import SPEAKERS, VOICES, WORDS

_SHARES: Mapping[str, int] = {"test": 100, "val": 25, "rl": 125}
"""Words of each part; the others are those of sft."""
_NEEDED: Mapping[str, Sequence[str]] = {"count": (KNOCK,), "pitch": (LOW_BEEP, HIGH_BEEP)}
"""By task: the sounds that have to be there."""


def words_by_part(seed: int) -> dict[str, list[str]]:
    """The 625 words, each in one part of the corpus."""
    order, parts = random.Random(f"eaqa/{seed}/words").sample(WORDS, len(WORDS)), {}
    for part, count in _SHARES.items():
        parts[part], order = order[:count], order[count:]
    return parts | {"sft": order}


class MiniSupply(Supply):
    """Four voices, the words and speakers of one part, six events."""

    def __init__(self, part: Part, words: Sequence[str], rng: random.Random) -> None:
        self.speakers, self.words, self.rng, self.lengths_s = SPEAKERS[part.speakers], words, rng, part.lengths_s
        counts = [str(number) for number in range(1, MOST_BLOWS + 1)]
        self.questions = Questions(rng, KNOCK, counts, (LOW_BEEP, HIGH_BEEP))

    def items(self, voices: int, sounds: int, tasks: Sequence[str]) -> list[Item]:
        """Different voices with different words, and different events."""
        needed = [name for task in tasks for name in _NEEDED.get(task, ())]
        others = [name for name in EVENTS if name not in needed]
        names = [*needed, *self.rng.sample(others, max(0, sounds - len(needed)))]
        said = zip(self.rng.sample(VOICES, voices), self.rng.sample(self.words, voices), strict=True)
        found = [self._voice(voice, text) for voice, text in said] + [self._event(name) for name in names]
        return self.rng.sample(found, len(found))

    def duration_s(self, items: Sequence[Item], number: int) -> float:
        """One of the lengths of the part, in turn."""
        return self.lengths_s[number % len(self.lengths_s)]

    def _voice(self, voice: str, text: str) -> Item:
        person = self.rng.choice(self.speakers[voice])
        return Item(f"{voice} voice", f"the {voice} voice", voice, text, person.name, person)

    def _event(self, name: str) -> Item:
        return Item(name, f"the {name}", name, source=self.rng.randint(1, MOST_BLOWS) if name == KNOCK else None)
