"""The frozen dataclasses that cross rooms: examples, clips, prompts, rollouts, scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

Emotion = Literal["anger", "happy", "sad", "surprise", "fear", "disgust", "neutral"]
EMOTIONS: tuple[Emotion, ...] = ("anger", "happy", "sad", "surprise", "fear", "disgust", "neutral")
Intensity = Literal["low", "mid", "high"]
INTENSITIES: tuple[Intensity, ...] = ("low", "mid", "high")
Sentiment = Literal["positive", "negative", "neutral"]
"""Of the words alone, whatever the voice says."""
SENTIMENTS: tuple[Sentiment, ...] = ("positive", "negative", "neutral")
DIMENSIONS = ("valence", "arousal", "dominance")
"""The order of every vector of dimensions, all in [-1, 1]. An encoder with another order or range says so by name."""
Waveform = np.ndarray
"""Mono float32 samples in [-1, 1], shape (n,), at the sampling rate of the model's feature extractor."""


@dataclass(frozen=True)
class Turn:
    """An earlier user turn of a dialogue. The student hears `audio` and reads `reply`; text and emotion are gold.

    A turn whose audio is None was typed: its text is what the student reads.
    """

    text: str
    audio: Path | None
    emotion: Emotion | None = None
    reply: str | None = None
    duration_s: float | None = None


@dataclass(frozen=True)
class Example:
    """One line of a manifest. `valence`, `arousal`, `dominance` lie in [-1, 1]; `where` is `file:line`.

    Only `id` and `audio` are on every line; a string that a line does not give is empty, anything else None. Of a
    dialogue the example is the turn to answer: `audio`, `text`, `emotion` are its own, `turns` the user's earlier ones,
    oldest first. A question has `choices`, or none where it is open, and, unless it is hidden, `answer`, the text of
    the right choice. `cause` quotes the words that moved the speaker, for a teacher to read; no student ever does.
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
    question: str | None = None
    choices: tuple[str, ...] = ()
    answer: str | None = None
    task: str | None = None
    language: str | None = None
    targets: Mapping[str, str] = field(default_factory=dict)
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
    """An example together with what the model will hear.

    `history` holds the waveforms of `example.turns`, None for a typed one; it is empty where no turn is heard. Raises
    ValueError when it holds more or fewer than there are turns.
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
    """What a policy is given: the user's turns, oldest first, each heard (a waveform) or read (a text).

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
        """The turns that are heard."""
        return [turn for turn in self.turns if not isinstance(turn, str)]


ModelInput = Waveform | str | Conversation
"""A bare waveform or text is a conversation of one turn."""


class ClipBatch:
    """Clips as an opaque object (Lightning would cast tensors); `padding` ones only keep a rank in step with others."""

    def __init__(self, clips: Sequence[Clip], padding: bool = False) -> None:
        self.clips, self.padding = list(clips), padding

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def count(self) -> int:
        """How many clips a mean over this batch stands for."""
        return 0 if self.padding else len(self)


@dataclass(frozen=True)
class Prompts:
    """Left-padded prompts of `p` conversations, ready for an `AudioLM`.

    `audio` holds the family's own tensors: first axis = clips, prompt by prompt and in each from the oldest turn on; it
    is empty where nothing is heard. `clip_counts` says how many of them each prompt has; None: one each, or none.
    Raises ValueError when they are not as many as `audio` has.
    """

    input_ids: Int[Tensor, "p s"]
    attention_mask: Int[Tensor, "p s"]
    audio: Mapping[str, Tensor]
    clip_counts: tuple[int, ...] | None = None
    mask_on_host = cached_property(lambda self: self.attention_mask.bool().cpu())
    """Shapes are decided on the CPU: once this was asked for, no step waits for the device to tell them."""

    def __post_init__(self) -> None:
        if self.clip_counts is None:
            object.__setattr__(self, "clip_counts", (1 if self.audio else 0,) * len(self))
        clips = {name: len(value) for name, value in self.audio.items()} or {"audio": 0}
        if len(self.clip_counts) != len(self) or set(clips.values()) != {sum(self.clip_counts)}:
            raise ValueError(f"{len(self)} prompts with {self.clip_counts} clips, but the tensors hold {clips}")

    def __len__(self) -> int:
        return self.input_ids.shape[0]

    def select(self, rows: Int[Tensor, " k"]) -> "Prompts":
        """The prompts at `rows`, in that order, with their audio."""
        index, counts = rows.tolist(), self.clip_counts
        ends = list(accumulate(counts))
        clips = [clip for row in index for clip in range(ends[row] - counts[row], ends[row])]
        audio = {name: value[torch.tensor(clips)] for name, value in self.audio.items()} if clips else {}
        return Prompts(self.input_ids[rows], self.attention_mask[rows], audio, tuple(counts[row] for row in index))


@dataclass(frozen=True)
class Completions:
    """Right-padded token ids, `group_size` adjacent rows for each prompt: `b = p * group_size`.

    `mask` is True on the tokens that train: for rollouts the sampled ones *including* the end token, for SFT the
    target. Nobody but the producer decides it.
    """

    ids: Int[Tensor, "b t"]
    mask: Bool[Tensor, "b t"]
    mask_on_host = cached_property(lambda self: self.mask.cpu())  # waits for the device once


@dataclass(frozen=True)
class Rollouts:
    """What an engine sampled, group by group. Produced once, then read-only.

    `sampling_logprobs` are under the sampling distribution (its temperature included) and 0 where the mask is False.
    The stage fills in `advantages` and `rewards`, on the CPU, once the completions are scored and, where its objective
    asks for them and at the same temperature, `old_logprobs` of the policy before its first update (None: the sampling
    ones are taken for them) and `ref_logprobs` of the frozen reference.
    """

    clips: Sequence[Clip]
    formats: Sequence[str]
    prompts: Prompts
    completions: Completions
    sampling_logprobs: Float[Tensor, "b t"]
    texts: Sequence[str]
    finished: Bool[Tensor, " b"]
    group_size: int
    policy_version: int = 0
    rewards: Float[Tensor, " b"] | None = None
    advantages: Float[Tensor, " b"] | None = None
    old_logprobs: Float[Tensor, "b t"] | None = None
    ref_logprobs: Float[Tensor, "b t"] | None = None

    def __len__(self) -> int:
        return self.completions.ids.shape[0]

    @property
    def row_formats(self) -> list[str]:
        """The format of each completion."""
        return [format for format in self.formats for _ in range(self.group_size)]

    @property
    def row_examples(self) -> list[Example]:
        """The example of each completion."""
        return [clip.example for clip in self.clips for _ in range(self.group_size)]

    def groups(self, index: Sequence[int]) -> "Rollouts":
        """The groups at `index` (whole groups only: a group is never split)."""
        p, rows = torch.as_tensor(index), self.rows_of(index)
        by_row = {part.name: getattr(self, part.name) for part in fields(self)}
        return replace(
            self,
            clips=[self.clips[i] for i in index],
            formats=[self.formats[i] for i in index],
            prompts=self.prompts.select(p),
            completions=Completions(self.completions.ids[rows], self.completions.mask[rows]),
            texts=[self.texts[i] for i in rows.tolist()],
            **{name: value[rows] for name, value in by_row.items() if isinstance(value, Tensor)},
        )

    def rows_of(self, index: Sequence[int]) -> Int[Tensor, " rows"]:
        """The rows of the groups at `index`, in that order."""
        groups = torch.as_tensor(index, dtype=torch.long)
        return (groups[:, None] * self.group_size + torch.arange(self.group_size)).flatten()

    def with_groups(self, index: Sequence[int], other: "Rollouts") -> "Rollouts":
        """These rollouts, the groups at `index` replaced by those of `other`: new completions of the same prompts."""
        rows = self.rows_of(index)
        width = max(self.completions.ids.shape[1], other.completions.ids.shape[1])

        def put(mine: Tensor, theirs: Tensor) -> Tensor:
            merged = pad(mine, (0, width - mine.shape[1]))
            merged[rows] = pad(theirs, (0, width - theirs.shape[1]))
            return merged

        new_texts, finished = dict(zip(rows.tolist(), other.texts, strict=True)), self.finished.clone()
        finished[rows] = other.finished
        mine, theirs = self.completions, other.completions
        return replace(
            self,
            completions=Completions(put(mine.ids, theirs.ids), put(mine.mask, theirs.mask)),
            sampling_logprobs=put(self.sampling_logprobs, other.sampling_logprobs),
            texts=[new_texts.get(row, text) for row, text in enumerate(self.texts)],
            finished=finished,
            **dict.fromkeys(("rewards", "advantages", "old_logprobs", "ref_logprobs")),
        )


@dataclass(frozen=True)
class Scores:
    """Rewards of `b` completions: the weighted `total` and each term before its weight (NaN = not applicable).

    `metrics` is what scoring the batch took, such as the failures and the tokens of a judge; it is logged as it is.
    """

    total: Float[Tensor, " b"]
    terms: Mapping[str, Float[Tensor, " b"]]
    metrics: Mapping[str, float] = field(default_factory=dict)

    def with_rows(self, rows: Int[Tensor, " rows"], other: "Scores") -> "Scores":
        """These scores, those at `rows` replaced by `other`; the metrics stay those of the first scoring."""
        terms = {name: value.clone() for name, value in self.terms.items()}
        for name, values in terms.items():
            values[rows] = other.terms.get(name, torch.full_like(other.total, torch.nan))
        return replace(self, total=self.total.index_copy(0, rows, other.total), terms=terms)
