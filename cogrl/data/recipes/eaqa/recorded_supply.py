"""The recordings of one part of EAQA: who speaks is called Speaker 1, 2, 3 in the order of entering."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cogrl.data.recipes.eaqa.clip import EDGE_S, GAP_S
from cogrl.data.recipes.eaqa.item import Item
from cogrl.data.recipes.eaqa.scenes import Supply
from cogrl.data.recipes.eaqa.tasks import Questions
from cogrl.data.recipes.eaqa.times import GRID_S
from cogrl.data.recipes.recordings import Recording
from cogrl.words import words

SOUND_S = 3.0
"""So much of a sound is in a clip, from its beginning."""
LEAST_S = 6.0
"""No clip is shorter."""
_MORE = (1.1, 1.6)
"""How long a clip is, as a multiple of what it needs."""
_TRIES = 200


@dataclass(frozen=True)
class SoundFile:
    """A recording of a sound, and how long it lasts in a clip, in seconds."""

    path: Path
    lasts_s: float


class RecordedSupply(Supply):
    """The speech and the sounds, by label, of one part; `part` is its name in messages."""

    def __init__(
        self,
        part: str,
        speech: Sequence[Recording],
        sounds: Mapping[str, Sequence[SoundFile]],
        max_s: float,
        rng: random.Random,
    ) -> None:
        self.part, self.speech, self.sounds, self.max_s, self.rng = part, speech, sounds, max_s, rng
        by_words = {words(one.text): one.text for one in speech}
        self.questions = Questions(rng, texts=sorted(by_words.values()))

    def items(self, voices: int, sounds: int, tasks: Sequence[str]) -> list[Item]:
        """Recordings of different speakers and words, and different sounds. Raises ValueError for too few."""
        labels = self.rng.sample(sorted(self.sounds), sounds)
        found: list[Recording | str] = [*self._speech(voices), *labels]
        self.rng.shuffle(found)
        order, number = list[Item](), 0
        for one in found:
            if isinstance(one, Recording):
                number += 1
                name = f"Speaker {number}"
                order.append(Item(name, name, name, one.text, one.speaker, one))
            else:
                order.append(Item(one, f"the {one}", one, source=self.rng.choice(self.sounds[one])))
        return order

    def duration_s(self, items: Sequence[Item], number: int) -> float:
        """A little longer than its items need, of `LEAST_S` to `max_s`."""
        needed_s = sum(item.source.lasts_s for item in items) + 2 * EDGE_S + GAP_S * (len(items) - 1)
        wanted_s = max(LEAST_S, needed_s * self.rng.uniform(*_MORE))
        return min(math.ceil(wanted_s / GRID_S), math.floor(self.max_s / GRID_S)) * GRID_S

    def _speech(self, count: int) -> list[Recording]:
        for _ in range(_TRIES):
            found = self.rng.sample(self.speech, min(count, len(self.speech)))
            said, people = {words(one.text) for one in found}, {one.speaker for one in found}
            if len(said) == len(people) == count:
                return found
        raise ValueError(
            f"{self.part}: {len(self.speech)} recordings are too few or too much alike for clips of {count} speakers "
            "with different texts; add recordings"
        )


def longest_s(max_s: float, voices: int, sounds: int) -> float:
    """How long a recording of speech is at most, so that so many of them and of sounds fit into `max_s`."""
    silence_s = 2 * EDGE_S + GAP_S * (voices + sounds - 1)
    return (math.floor(max_s / GRID_S) * GRID_S - silence_s - sounds * SOUND_S) / voices
