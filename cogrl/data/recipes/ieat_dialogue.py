"""Dialogues and the thoughts written into their answers: the form of a target, and what of it may be spoken.

IEAT, injected emotional-attribution thinking (arXiv:2601.04960), writes the user's emotion and its cause into the
model's own thinking. A target is

    <think>
    I hear a shaky, thin and fast voice. The user feels fear, because they told me "they moved the exam".
    </think>

    You sound scared and worried. …

as GOAT-SLM writes it (arXiv:2507.18119): speech starts after the closing tag and its empty line; thinking is never
spoken. The paper's own template and generator are not published: this one is cogrl's.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from cogrl.types import Emotion, Example, Intensity

_OPEN, _CLOSE = "<think>\n", "\n</think>\n\n"
_TAG = re.compile(r"</?\s*think", re.I)


@dataclass(frozen=True)
class Dialogue:
    """What an annotator knows of a dialogue: the user's turns, oldest first, and the replies between them.

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

    def render(self) -> str:
        """The target of route A; `spoken` gives the reply back."""
        return f"{_OPEN}{self.thinking}{_CLOSE}{self.reply}"


def spoken(target: str) -> str:
    """What a voice may say of a target: all that follows the thinking, or everything where there is none.

    Raises ValueError where a thinking tag is misplaced, repeated or never closed: rather nothing than a thought aloud.
    """
    thinking, closed, reply = target.partition(_CLOSE) if target.startswith(_OPEN) else ("", _CLOSE, target)
    if not closed or _TAG.search(thinking.removeprefix(_OPEN)) or _TAG.search(reply):
        raise ValueError(f"a thinking tag is out of place, nothing can be spoken safely: {target[:80]!r}")
    return reply


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
