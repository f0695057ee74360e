"""One sampled answer and how it came about: what was inserted into it, and how long it took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cogrl.audio import to_seconds
from cogrl.rollout.controller import Controller, reported
from cogrl.types import Role, Rollouts, Span


@dataclass(frozen=True)
class SampledAnswer:
    """A completion, by what the policy drew and what was put between.

    Args:
        text: decoded from the drawn tokens.
        clip_s: the length of the clip that it is about, in seconds.
        spans: the parts of that clip that were inserted, in order.
        clips: how many clips were inserted, those of which no part of the answer's own clip is the source included.
        audio_tokens: placeholders of all of them, in tokens.
        inserted_tokens: everything that was put between the drawn tokens: placeholders, markers and fillers.
        ms: the time of its batch over the answers in it, in milliseconds.
        reported: what controllers report of it.
    """

    text: str
    clip_s: float
    spans: Sequence[Span] = ()
    clips: int = 0
    audio_tokens: int = 0
    inserted_tokens: int = 0
    ms: float = 0.0
    reported: Mapping[str, float] = field(default_factory=dict)


def sampled_answers(
    rollouts: Rollouts, controllers: Sequence[Controller], sampling_rate: int, seconds: float
) -> list[SampledAnswer]:
    """The completions of rollouts with one completion a prompt, which took `seconds` in all."""
    roles = rollouts.completions.roles_on_host
    audio = (roles == Role.AUDIO).sum(1).tolist()
    between = sum((roles == role).sum(1) for role in (Role.AUDIO, Role.FORCED, Role.LATENT)).tolist()
    figures = reported(controllers, rollouts)
    return [
        SampledAnswer(
            rollouts.texts[i],
            to_seconds(len(clip.waveform), sampling_rate),
            rollouts.spans[i],
            rollouts.completions.clip_counts[i],
            audio[i],
            between[i],
            1000 * seconds / len(rollouts),
            {name: column[i].item() for name, column in figures.items()},
        )
        for i, clip in enumerate(rollouts.clips)
    ]
