"""What a policy hears behind a segment that it has cited: that segment, or what a control puts in its place."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cogrl.audio import to_samples, to_seconds
from cogrl.model_input import original_clip
from cogrl.rollout.controller import Excerpt
from cogrl.rollout.excerpts import excerpt_of
from cogrl.types import Example, ModelInput, Span, Waveform

Part = tuple[int, Span]
"""A part of a clip: the number of its prompt, and where it lies."""


@dataclass(frozen=True)
class Request:
    """The `ordinal`-th segment that the `place`-th completion of a prompt may hear again, as it was cited."""

    prompt: int
    place: int
    ordinal: int
    span: Span


@dataclass
class ClipsOfCall:
    """The clips that the prompts of one call of an engine have; None for a prompt that is text.

    `examples` may hold one more clip's than there are prompts: one of an earlier call, for prompts without another one
    beside them.
    """

    waveforms: Sequence[Waveform | None]
    examples: Sequence[Example]
    sampling_rate: int
    seed: int
    excerpts: dict[Part, Excerpt] = field(default_factory=dict)

    def duration_s(self, prompt: int) -> float:
        """How long the clip of a prompt is; 0 without one."""
        waveform = self.waveforms[prompt]
        return 0.0 if waveform is None else to_seconds(len(waveform), self.sampling_rate)

    def other(self, prompt: int) -> int | None:
        """The next prompt, in turn, whose clip is another one; None when there is none."""
        count = len(self.waveforms)
        turn = ((prompt + step) % count for step in range(1, count))
        own = self.examples[prompt].id
        return next((i for i in turn if self.waveforms[i] is not None and self.examples[i].id != own), None)

    def check_evidence(self) -> None:
        """Raises ValueError, with file:line and id, for an example that does not say where its answer is heard."""
        without = [f"{example.where} ({example.id})" for example in self.examples if not example.evidence]
        if without:
            raise ValueError(
                f"{without[0]}: hears: gold inserts the segments in which the answer is heard, and this line and "
                f"{len(without) - 1} more of the batch have no `evidence`; add it, or choose another control"
            )

    def with_another(self, spare: tuple[Waveform, Example] | None) -> tuple[Waveform, Example] | None:
        """Takes in the clip `spare` of an earlier call, and returns one for the next.

        Raises ValueError when there is a prompt without another clip.
        """
        prompts = len(self.waveforms)
        if spare is not None:
            self.waveforms, self.examples = [*self.waveforms, spare[0]], [*self.examples, spare[1]]
        spoken = [i for i in range(prompts) if self.waveforms[i] is not None]
        alone = next((self.examples[i] for i in spoken if self.other(i) is None), None)
        if alone is not None:
            raise ValueError(
                f"{alone.where} ({alone.id}): hears: other_clip takes the clip of another prompt of the batch, and "
                "there is none; ask about two or more at once"
            )
        return (self.waveforms[spoken[0]], self.examples[spoken[0]]) if spoken else spare

    def excerpt(self, request: Request, part: Part) -> Excerpt:
        """The part, the same object each time. Another clip that is too short begins anew where it ends."""
        if part not in self.excerpts:
            (clip, span), rate = part, self.sampling_rate
            waveform, own = self.waveforms[clip], clip == request.prompt
            if not own:
                waveform = np.resize(waveform, max(len(waveform), to_samples(span.end_s, rate)))
            cut = excerpt_of(waveform, span, rate)
            self.excerpts[part] = cut if own else replace(cut, span=None)
        return self.excerpts[part]


def clips_of_call(
    inputs: Sequence[ModelInput], examples: Sequence[Example], sampling_rate: int, seed: int
) -> ClipsOfCall:
    """The clips of the turns to answer."""
    return ClipsOfCall([original_clip(item) for item in inputs], examples, sampling_rate, seed)


def cited(clips: ClipsOfCall, request: Request) -> Part | None:
    """The segment itself."""
    return request.prompt, request.span


def random_place(clips: ClipsOfCall, request: Request) -> Part | None:
    """As long a segment at a random place of the same clip, which does not depend on what else is in the batch."""
    example, length = clips.examples[request.prompt], request.span.duration_s
    rng = random.Random(f"{clips.seed}/{example.id}/{request.place}/{request.ordinal}")
    start = rng.uniform(0.0, max(0.0, clips.duration_s(request.prompt) - length))
    return request.prompt, Span(start, start + length)


def other_clip(clips: ClipsOfCall, request: Request) -> Part | None:
    """The same times of another prompt's clip."""
    other = clips.other(request.prompt)
    return None if other is None else (other, request.span)


def whole(clips: ClipsOfCall, request: Request) -> Part | None:
    """The whole clip."""
    return request.prompt, Span(0.0, clips.duration_s(request.prompt))


def gold(clips: ClipsOfCall, request: Request) -> Part | None:
    """The segments in which the answer is heard, in their order: the first for the first citation; then nothing."""
    evidence = clips.examples[request.prompt].evidence
    return (request.prompt, evidence[request.ordinal]) if request.ordinal < len(evidence) else None


def gold_seconds(clips: ClipsOfCall, request: Request) -> Part | None:
    """The same, with the rest of the whole seconds that they lie in, for a policy that has learned to cite those."""
    part = gold(clips, request)
    if part is None:
        return None
    start_s, end_s = math.floor(part[1].start_s), math.ceil(part[1].end_s)
    return request.prompt, Span(float(start_s), min(float(end_s), clips.duration_s(request.prompt)))


def nothing(clips: ClipsOfCall, request: Request) -> Part | None:
    """No segment."""
    return None


Source = Callable[[ClipsOfCall, Request], Part | None]
SOURCES: dict[str, Source] = {
    "cited": cited,
    "random": random_place,
    "other_clip": other_clip,
    "whole": whole,
    "gold": gold,
    "gold_seconds": gold_seconds,
    "filler": cited,
    "nothing": nothing,
}
"""By the name of what is heard. For `filler` the cited segment says how many tokens are read in its place."""
