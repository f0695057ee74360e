"""What goes into a policy: examples, clips, conversations, and the prompts made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int
from torch import Tensor

from cogrl.types.clip_tensors import ClipTensors, check_clip_counts, clips_of_rows, pick_clips

Emotion = Literal["anger", "happy", "sad", "surprise", "fear", "disgust", "neutral"]
EMOTIONS: tuple[Emotion, ...] = ("anger", "happy", "sad", "surprise", "fear", "disgust", "neutral")
REPLY_EMOTIONS: dict[Emotion, Emotion] = {
    "anger": "neutral",
    "happy": "happy",
    "sad": "sad",
    "surprise": "surprise",
    "fear": "sad",
    "disgust": "neutral",
    "neutral": "neutral",
}
"""In which emotion a reply is said, by the emotion that it answers: joy is shared, anger and disgust are met calmly,
sadness and fear with a low, slow and soft voice. Cogrl's choice; no paper has such a table."""
Intensity = Literal["low", "mid", "high"]
INTENSITIES: tuple[Intensity, ...] = ("low", "mid", "high")
Sentiment = Literal["positive", "negative", "neutral"]
"""Of the words alone, whatever the voice says."""
SENTIMENTS: tuple[Sentiment, ...] = ("positive", "negative", "neutral")
DIMENSIONS = ("valence", "arousal", "dominance")
"""The order of every vector of dimensions, all in [-1, 1]. An encoder with another order or range declares it in a
`DimensionLayout`."""
Waveform = np.ndarray
"""Mono float32 samples in [-1, 1], shape (n,), at the sampling rate of the model's feature extractor."""


@dataclass(frozen=True)
class Turn:
    """An earlier user turn of a dialogue. The student gets `audio` and the text `reply`; text and emotion are gold.

    A turn whose audio is None was typed: its text is what the student reads.
    """

    text: str
    audio: Path | None
    emotion: Emotion | None = None
    reply: str | None = None
    duration_s: float | None = None


@dataclass(frozen=True)
class SpokenTurn:
    """Who says what within the clip, and when, in seconds from its beginning."""

    speaker: str
    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class Span:
    """A part of a clip, in seconds from its beginning."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """How long it is."""
        return self.end_s - self.start_s


@dataclass(frozen=True)
class Event(Span):
    """What is heard in a part of a clip, such as a knock or a voice."""

    name: str


@dataclass(frozen=True)
class SpokenReply:
    """The reply to an example as it is to be spoken: the target of a Speak stage. No policy ever reads any of it.

    `emotion` is the one it is to be said in, which need not be the user's. `units` are frames of numbers of the codec
    with the fingerprint `codec`; both are empty until the reply is encoded (`cogrl build speech-units`).
    """

    audio: Path
    text: str
    emotion: Emotion | None = None
    codec: str = ""
    units: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Example:
    """One line of a manifest. `valence`, `arousal`, `dominance` lie in [-1, 1]; `where` is `file:line`.

    Only `id` and `audio` are on every line; a string that a line does not give is empty, anything else None. Of a
    dialogue the example is the turn to answer: `audio`, `text`, `emotion` are its own, `turns` the user's earlier ones,
    oldest first. A question has `choices`, or none where it is open, and, unless it is hidden, `answer`, the text of
    the right choice. `cause` quotes the words that moved the speaker, for a teacher to read; no student ever does.
    `speech` holds the turns within the clip, in their order; `environment` is what is heard around them and `snr_db` by
    how much the speech is louder, in dB; `events` says what is heard when, and `evidence` where the answer to the
    question is heard. They are gold: rewards and reports read them, no policy does. `spoken_reply` is the reply to the
    turn as it is to be spoken.
    """

    id: str
    audio: Path
    split: str = ""
    text: str = ""
    text_group: str = ""
    speaker: str = ""
    emotion: Emotion | None = None
    intensity: Intensity | None = None
    scenario: str | None = None
    valence: float | None = None
    arousal: float | None = None
    dominance: float | None = None
    duration_s: float | None = None
    text_sentiment: Sentiment | None = None
    cause: str | None = None
    turns: tuple[Turn, ...] = ()
    speech: tuple[SpokenTurn, ...] = ()
    events: tuple[Event, ...] = ()
    evidence: tuple[Span, ...] = ()
    environment: str | None = None
    snr_db: float | None = None
    question: str | None = None
    choices: tuple[str, ...] = ()
    answer: str | None = None
    task: str | None = None
    language: str | None = None
    targets: Mapping[str, str] = field(default_factory=dict)
    spoken_reply: SpokenReply | None = None
    synthesis: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    licence: str = ""
    where: str = ""

    @property
    def dimensions(self) -> list[float] | None:
        """Valence, arousal and dominance in this order; None when the line does not have all three."""
        values = [getattr(self, name) for name in DIMENSIONS]
        return None if None in values else values

    def target(self, format: str) -> str:
        """The training target of a format; ValueError when the manifest has none."""
        if format not in self.targets:
            raise ValueError(
                f"{self.where} ({self.id}): no target for format {format}; add targets.{format} to this line"
            )
        return self.targets[format]


@dataclass(frozen=True)
class Clip:
    """An example with its waveform.

    `history` holds the waveforms of `example.turns`, None for a typed one; it is empty where earlier turns are left
    out. Raises ValueError when it holds more or fewer than there are turns.
    """

    example: Example
    waveform: Waveform
    history: tuple[Waveform | None, ...] = ()

    def __post_init__(self) -> None:
        if self.history and len(self.history) != len(self.example.turns):
            raise ValueError(
                f"{self.example.id}: {len(self.history)} waveforms of earlier turns, {len(self.example.turns)} turns; "
                "give one for each, None for a typed turn"
            )


@dataclass(frozen=True, eq=False)
class Conversation:
    """The input of a policy: the user's turns, oldest first, each a waveform or a text.

    The last turn is the one to answer. `replies` are the policy's own to the others, None where it said nothing. Raises
    ValueError when they are not one fewer than the turns.
    """

    turns: tuple[Waveform | str, ...]
    replies: tuple[str | None, ...] = ()

    def __post_init__(self) -> None:
        if len(self.replies) != len(self.turns) - 1:
            raise ValueError(f"{len(self.replies)} replies for {len(self.turns)} turns; there is one between two turns")

    @property
    def waveforms(self) -> list[Waveform]:
        """The turns that are waveforms."""
        return [turn for turn in self.turns if not isinstance(turn, str)]


ModelInput = Waveform | str | Conversation
"""A bare waveform or text is a conversation of one turn."""


class ClipBatch:
    """Clips as an opaque object (Lightning would cast tensors); `padding` ones only keep ranks in step.

    `broken` says of each clip that could not be read where it stands and why. Others stand in for it, or the batch is
    empty. `following` are the clips of the next batch, where a loader has looked ahead.
    """

    following: Sequence[Clip] = ()

    def __init__(self, clips: Sequence[Clip], padding: bool = False, broken: Sequence[str] = ()) -> None:
        self.clips, self.padding, self.broken = list(clips), padding, tuple(broken)

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def count(self) -> int:
        """How many clips a mean over this batch counts."""
        return 0 if self.padding else len(self)


@dataclass(frozen=True)
class Prompts:
    """Left-padded prompts of `p` conversations, ready for an `AudioLM`.

    `audio` holds the family's own tensors: first axis = clips, prompt by prompt and in each from the oldest turn on; it
    is empty for prompts without audio. `clip_counts` says how many of them each prompt has; None: one each, or none.
    Raises ValueError when they are not as many as `audio` has.
    """

    input_ids: Int[Tensor, "p s"]
    attention_mask: Int[Tensor, "p s"]
    audio: ClipTensors
    clip_counts: tuple[int, ...] | None = None
    mask_on_host = cached_property(lambda self: self.attention_mask.bool().cpu())
    """The mask on the CPU, where shapes are decided: after the first access no step waits for the device."""

    def __post_init__(self) -> None:
        if self.clip_counts is None:
            object.__setattr__(self, "clip_counts", (1 if self.audio else 0,) * len(self))
        check_clip_counts(self.audio, self.clip_counts, len(self), "prompts")

    def __len__(self) -> int:
        return self.input_ids.shape[0]

    def select(self, rows: Int[Tensor, " k"]) -> "Prompts":
        """The prompts at `rows`, in that order, with their audio."""
        index, counts = rows.tolist(), self.clip_counts
        audio = pick_clips(self.audio, clips_of_rows(counts, index))
        return Prompts(self.input_ids[rows], self.attention_mask[rows], audio, tuple(counts[row] for row in index))
