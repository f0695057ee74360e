"""What a clip is made of, and what is asked about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Item:
    """A voice or another sound in a clip.

    Args:
        name: what gold calls it, such as "low voice" or "knock".
        called: what a question calls it, such as "the low voice".
        cue: what a thought calls it, such as "low".
        text: what a voice says; empty for another sound.
        speaker: who speaks; empty for another sound.
        source: what the recipe makes its samples of.
    """

    name: str
    called: str
    cue: str
    text: str = ""
    speaker: str = ""
    source: Any = None


@dataclass(frozen=True)
class Asked:
    """A question about the items of a clip, which are named by their place in its order.

    Args:
        task: the kind of question.
        question: its words.
        answer: the right answer; empty where it lists the times of `evidence`, which are known once the clip is made.
        evidence: the items that it is about.
        choices: the options; none where the question is open.
        thinking: the thought, in texts and items to hear again; empty where the task has none.
    """

    task: str
    question: str
    answer: str
    evidence: tuple[int, ...]
    choices: tuple[str, ...] = ()
    thinking: tuple[str | int, ...] = ()


@dataclass(frozen=True)
class Scene:
    """One clip and its questions. `id` says nothing about it and decides all that is random about its samples.

    Args:
        split: the manifest.
        items: in their order.
        asked: the questions.
        duration_s: of the clip, in seconds.
        snr_db: by how much the items are louder than the noise between them, in dB.
        formats: the formats that its questions have targets of.
        facts: what else is known of it.
    """

    id: str
    split: str
    items: tuple[Item, ...]
    asked: tuple[Asked, ...]
    duration_s: float
    snr_db: float
    formats: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        """Of the generator that its samples are drawn with."""
        return int(self.id, 16)
