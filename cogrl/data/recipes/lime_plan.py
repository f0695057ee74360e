"""Which clips a LIME-mini corpus has: speakers x sentences x emotions x takes, split by split."""

import hashlib
from dataclasses import dataclass

from cogrl.data.recipes.lime_sentences import SENTENCES
from cogrl.data.synthesis.voices import Speaker, speakers
from cogrl.types import EMOTIONS, INTENSITIES, Emotion, Intensity


@dataclass(frozen=True)
class Split:
    """`speakers` x `texts` x 7 emotions x `takes`; the takes of a cell differ in intensity."""

    name: str
    speakers: int
    texts: int
    takes: int


Plan = tuple[Split, ...]
SMOKE: Plan = (Split("sft", 3, 4, 1), Split("rl", 2, 3, 1), Split("val", 1, 2, 1), Split("test", 2, 3, 1))
MINI: Plan = (Split("sft", 11, 16, 1), Split("rl", 7, 12, 2), Split("val", 2, 6, 1), Split("test", 4, 8, 3))


@dataclass(frozen=True)
class Cell:
    """One clip to render. Everything random about it is drawn from `digest`."""

    split: str
    speaker: Speaker
    scenario: str
    text: str
    text_group: str
    emotion: Emotion
    intensity: Intensity

    def digest(self, seed: int) -> str:
        """64 hex digits that identify the clip; the first 16 are its id and file name."""
        names = (seed, self.speaker.name, self.text_group, self.emotion, self.intensity)
        return hashlib.sha256("/".join(map(str, names)).encode()).hexdigest()


def sentences() -> list[tuple[str, str, str]]:
    """(text group, scenario, text), one scenario after the other, so that any six in a row cover all of them."""
    rows = zip(*SENTENCES.values(), strict=True)
    pairs = [pair for row in rows for pair in zip(SENTENCES, row, strict=True)]
    return [(f"t{number:02d}", *pair) for number, pair in enumerate(pairs, start=1)]


def cells(plan: Plan) -> list[Cell]:
    """All clips of a plan. Raises ValueError if it asks for more speakers, sentences or takes than there are.

    The intensity depends on speaker, sentence and take alone: it is the same for the seven emotions of a cell.
    """
    people, texts, found = speakers(), sentences(), []
    for split in plan:
        if split.speakers > len(people) or split.texts > len(texts) or split.takes > len(INTENSITIES):
            raise ValueError(f"{split} needs more than the {len(people)} speakers, {len(texts)} texts, 3 takes left")
        readers, people = people[: split.speakers], people[split.speakers :]
        scripts, texts = texts[: split.texts], texts[split.texts :]
        found += [
            Cell(split.name, speaker, scenario, text, group, emotion, INTENSITIES[(i + j + take) % len(INTENSITIES)])
            for i, speaker in enumerate(readers)
            for j, (group, scenario, text) in enumerate(scripts)
            for take in range(split.takes)
            for emotion in EMOTIONS
        ]
    return found
