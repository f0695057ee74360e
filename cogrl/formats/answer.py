"""One completion as rewards and reports see it, parsed once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor

from cogrl.formats import format_named
from cogrl.types import Clip, Example, Finish, Rollouts, Span, Speech


@dataclass(frozen=True, eq=False)
class Answer:
    """One completion, what it answers and how it came about.

    Args:
        text: the completion, decoded from the tokens that the policy sampled, without the end token.
        format: the name of the format that was asked for.
        example: the line of the manifest, gold labels included.
        fields: what the format's parser found; None when the completion is not well-formed.
        said: what the user hears of it, or the choice it names; empty when there is none.
        finish: how it ended.
        spans: the parts of the clip that were inserted again.
        token_ends: of each sampled token, how many characters of the text there are up to its end; None where unknown.
        logprobs: log-probability of each sampled token under the sampling distribution, the end token included; None
            where nothing was kept.
        clip: the example with its waveform; None where no clip is at hand.
        speech: what the reply sounds like where it was spoken; None where it was not.
        counterfactuals: what is said to the same prompt where the audio is replaced or no controller takes part, by the
            name of the change; empty where nobody asked.
    """

    text: str
    format: str
    example: Example
    fields: Any | None
    said: str
    finish: Finish = "end"
    spans: Sequence[Span] = ()
    logprobs: Float[Tensor, " n"] | None = None
    token_ends: Sequence[int] | None = None
    clip: Clip | None = None
    speech: Speech | None = None
    counterfactuals: Mapping[str, str] = field(default_factory=dict)


def read_answer(text: str, format: str, example: Example, **how: Any) -> Answer:
    """The answer in a completion, parsed by the format of this name; `how` are the further fields of `Answer`."""
    grammar = format_named(format)
    return Answer(text, format, example, grammar.parse(text), grammar.answer(text, example), **how)


def answers_of(rollouts: Rollouts) -> list[Answer]:
    """The answers in rollouts, row by row, each parsed once."""
    masks, logprobs = rollouts.completions.mask.cpu(), rollouts.sampling_logprobs.cpu()
    clips = [clip for clip in rollouts.clips for _ in range(rollouts.group_size)]
    return [
        read_answer(
            rollouts.texts[row],
            format,
            clip.example,
            finish=rollouts.finish[row],
            spans=rollouts.spans[row],
            logprobs=logprobs[row, masks[row]],
            token_ends=rollouts.token_ends[row],
            clip=clip,
            speech=rollouts.speech[row],
        )
        for row, (format, clip) in enumerate(zip(rollouts.row_formats, clips, strict=True))
    ]
