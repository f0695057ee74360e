"""Inserted clips as a model reads them: each is encoded once in a call of an engine, whichever completions read it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cogrl.audio import to_samples, to_seconds
from cogrl.models.audio_lm import AudioLM
from cogrl.rollout.controller import Excerpt
from cogrl.types import ClipTensors, Span, Waveform, join_clips, pick_clips


def excerpt_of(waveform: Waveform, span: Span, sampling_rate: int) -> Excerpt:
    """A part of a clip: from the sample nearest to its start up to the one nearest to its end."""
    start, end = to_samples(span.start_s, sampling_rate), to_samples(span.end_s, sampling_rate)
    return Excerpt(np.ascontiguousarray(waveform[start:end]), span)


@dataclass(frozen=True)
class EncodedExcerpt:
    """An excerpt, its input tensors (one clip), and the frames that stand for its placeholders."""

    excerpt: Excerpt
    tensors: ClipTensors
    frames: Float[Tensor, "n d"]


class EncodedExcerpts:
    """What has been encoded of the `Excerpt`s of one call. Two completions that get the same object share one encoding.

    Args:
        policy: encodes them, as they come and all new ones in one pass.
    """

    def __init__(self, policy: AudioLM) -> None:
        self.policy = policy
        self.counts: dict[int, tuple[Excerpt, int]] = {}
        self.encoded: dict[int, EncodedExcerpt] = {}

    def token_count(self, excerpt: Excerpt) -> int:
        """How many placeholders it takes. Raises ValueError for one that does not fit into the policy's window."""
        if id(excerpt) not in self.counts:
            samples = len(excerpt.waveform)
            reason = self.policy.audio_length_error(to_seconds(samples, self.policy.sampling_rate))
            if reason:
                raise ValueError(f"a controller inserts a clip that does not fit: {reason}")
            count = int(self.policy.excerpt_token_counts(torch.tensor([samples])))
            self.counts[id(excerpt)] = excerpt, count  # kept with its id, which else another object may get
        return self.counts[id(excerpt)][1]

    def tensors(self, excerpts: Sequence[Excerpt]) -> ClipTensors:
        """Their input tensors on the policy's device, one clip each; empty where there are none."""
        return join_clips([one.tensors for one in self._encoded(excerpts)])

    def frames(self, excerpts: Sequence[Excerpt]) -> Float[Tensor, "n d"] | None:
        """Their frames, one excerpt after another; None where there are none."""
        found = [one.frames for one in self._encoded(excerpts)]
        return torch.cat(found) if found else None

    def _encoded(self, excerpts: Sequence[Excerpt]) -> list[EncodedExcerpt]:
        new = list({id(one): one for one in excerpts if id(one) not in self.encoded}.values())
        if new:
            audio = self.policy.excerpt_tensors([one.waveform for one in new])
            audio = {name: value.to(self.policy.device) for name, value in audio.items()}
            counts = [self.token_count(one) for one in new]
            placeholders = torch.tensor(counts, device=self.policy.device)
            frames = self.policy.frames_in_order(audio, [1] * len(new), placeholders).split(counts)
            for i, (excerpt, own) in enumerate(zip(new, frames, strict=True)):
                self.encoded[id(excerpt)] = EncodedExcerpt(excerpt, pick_clips(audio, [i]), own)
        return [self.encoded[id(one)] for one in excerpts]
