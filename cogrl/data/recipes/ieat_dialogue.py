"""Dialogues, and the thoughts that are written into their answers.

IEAT, injected emotional-attribution thinking (arXiv:2601.04960), writes the user's emotion and its cause into the
model's own thinking; `cogrl.formats.ieat` has the form.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from cogrl.types import Emotion, Example, Intensity


@dataclass(frozen=True)
class Dialogue:
    """The input of an annotator for a dialogue: the user's turns, oldest first, and the replies between them.

    The last turn is the one to answer. `cause` is the earlier turn that a plan made the cause (0 = the first); None
    leaves the choice to the annotator. `typed` are the texts of the turns without audio: the student reads them. `id`
    decides what is random about the thought.
    """

    id: str
    texts: tuple[str, ...]
    emotions: tuple[Emotion | None, ...]
    replies: tuple[str, ...]
    intensity: Intensity | None = None
    language: str | None = None
    cause: int | None = None
    typed: tuple[str, ...] = ()

    @property
    def emotion(self) -> Emotion:
        """The gold emotion of the turn to answer."""
        return self.emotions[-1]


def dialogue_of(example: Example) -> Dialogue:
    """The dialogue of a manifest line. Raises ValueError for a line without earlier turns, a label or a text."""
    if not example.turns:
        raise ValueError("has no earlier turns: nothing in it could be the cause")
    if example.emotion is None:
        raise ValueError("has no emotion to think about")
    if not example.text:
        raise ValueError("has no text to think about")
    return Dialogue(
        id=example.id,
        texts=(*(turn.text for turn in example.turns), example.text),
        emotions=(*(turn.emotion for turn in example.turns), example.emotion),
        replies=tuple(turn.reply or "" for turn in example.turns),
        intensity=example.intensity,
        language=example.language,
        cause=example.synthesis.get("cause_turn"),
        typed=tuple(turn.text for turn in example.turns if turn.audio is None),
    )


@dataclass(frozen=True)
class Thought:
    """The thinking, the words in it that quote the cause, and the reply. All plain text, the thinking one paragraph."""

    thinking: str
    cause: str
    reply: str


@dataclass(frozen=True)
class Thoughts:
    """By dialogue id: the thoughts; why a dialogue got none; and whose answer did not come."""

    thoughts: Mapping[str, Thought]
    rejected: Mapping[str, str] = field(default_factory=dict)
    unanswered: Mapping[str, str] = field(default_factory=dict)
    report: str = "made on this machine"


@runtime_checkable
class Thinker(Protocol):
    """Writes the thought that a good assistant would have had. `version` names all that decides what it writes."""

    version: str

    def think(self, dialogues: Sequence[Dialogue]) -> Thoughts: ...
