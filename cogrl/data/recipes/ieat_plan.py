"""Which dialogues an IEAT-mini corpus has: speakers x scripts x 7 emotions x 2 causes, split by split.

A script is three sentences of one LIME-mini scenario. Its last turn is read with every emotion; one of the earlier
turns, the cause, is read with the same one and the other with another, so the cause is in the voice and not in the
words. Every (speaker, script) has all seven emotions with both causes: a guess from the text alone has the emotion
right one time in seven and the cause one time in two.
"""

import hashlib
from dataclasses import dataclass

from cogrl.data.recipes.lime_plan import Cell, sentences
from cogrl.data.synthesis.voices import Speaker, speakers
from cogrl.types import EMOTIONS, INTENSITIES, Emotion

REPLIES = (
    "I see. Please go on.",
    "Thank you for telling me. What came next?",
    "All right, I am with you.",
    "Okay. Tell me more about it.",
    "I follow you. And then?",
)
"""What the assistant says between the turns: drawn by speaker and script, so that it does not depend on the emotion."""


@dataclass(frozen=True)
class Split:
    """The first and last place, from 0, of its speakers (of 24) and scripts (of 12)."""

    name: str
    speakers: tuple[int, int]
    scripts: tuple[int, int]


Plan = tuple[Split, ...]
MINI: Plan = (Split("train", (0, 7), (0, 6)), Split("val", (18, 19), (7, 8)), Split("test", (20, 23), (9, 11)))
SMOKE: Plan = (Split("train", (0, 1), (0, 1)), Split("val", (18, 18), (7, 7)), Split("test", (20, 20), (9, 9)))


@dataclass(frozen=True)
class Talk:
    """One dialogue to render: its clips, oldest first, the replies between them, and which turn is the cause."""

    split: str
    script: str
    clips: tuple[Cell, Cell, Cell]
    replies: tuple[str, str]
    cause: int

    def digest(self, seed: int) -> str:
        """16 hex digits that identify the dialogue."""
        names = "/".join((str(self.cause), *(clip.digest(seed) for clip in self.clips)))
        return hashlib.sha256(names.encode()).hexdigest()[:16]


def scripts() -> list[tuple[str, str, tuple[tuple[str, str], ...]]]:
    """(name, scenario, three (text group, text)): the first three sentences of each scenario, then the next three."""
    rows = sentences()
    scenarios = list(dict.fromkeys(scenario for _, scenario, _ in rows))
    found = []
    for part in range(2):
        for scenario in scenarios:
            own = [(group, text) for group, of, text in rows if of == scenario]
            found.append((f"s{len(found) + 1:02d}", scenario, tuple(own[3 * part : 3 * part + 3])))
    return found


def talks(plan: Plan) -> list[Talk]:
    """All dialogues of a plan. The speakers of a split are the ones LIME-mini gives to its own split of that kind."""
    people, texts, found = speakers(), scripts(), []
    for split in plan:
        for i in range(split.speakers[0], split.speakers[1] + 1):
            for j in range(split.scripts[0], split.scripts[1] + 1):
                for cause in (0, 1):
                    found += [_talk(split.name, people[i], texts[j], e, cause, i, j) for e in EMOTIONS]
    return found


def _talk(split: str, speaker: Speaker, script: tuple, emotion: Emotion, cause: int, i: int, j: int) -> Talk:
    name, scenario, lines = script
    # The turn that is not the cause is neutral, unless the emotion itself is: then it is any other.
    other = EMOTIONS[(i + j + cause) % 6] if emotion == "neutral" else "neutral"
    felt = tuple(emotion if turn in (cause, 2) else other for turn in range(3))
    clips = tuple(
        Cell(split, speaker, scenario, text, group, feeling, INTENSITIES[(i + j) % 3])
        for (group, text), feeling in zip(lines, felt, strict=True)
    )
    replies = (REPLIES[(i + j) % len(REPLIES)], REPLIES[(i + 2 * j + 1) % len(REPLIES)])
    return Talk(split, name, clips, replies, cause)
