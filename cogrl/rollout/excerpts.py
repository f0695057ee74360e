"""Inserted clips as a model reads them: each is encoded once in a call of an engine, whichever completions read it."""

from collections.abc import Mapping, Sequence

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


class EncodedExcerpts:
    """What has been encoded of the `Excerpt`s of one call. Two completions that get the same object share one encoding.

    Args:
        policy: encodes them, as they come and all new ones in one pass.
    """

    def __init__(self, policy: AudioLM) -> None:
        self.policy = policy
        self.counts: dict[int, tuple[Excerpt, int]] = {}  # with the object, whose id another may get once it is gone
        self.inputs: dict[int, tuple[Excerpt, ClipTensors]] = {}
        self.encoded: dict[int, tuple[Excerpt, Float[Tensor, "n d"]]] = {}

    def token_count(self, excerpt: Excerpt) -> int:
        """How many placeholders it takes. Raises ValueError for one that does not fit into the policy's window."""
        if id(excerpt) not in self.counts:
            samples = len(excerpt.waveform)
            reason = self.policy.audio_length_error(to_seconds(samples, self.policy.sampling_rate))
            if reason:
                raise ValueError(f"a controller inserts a clip that does not fit: {reason}")
            count = int(self.policy.excerpt_token_counts(torch.tensor([samples])))
            self.counts[id(excerpt)] = excerpt, count
        return self.counts[id(excerpt)][1]

    def tensors(self, excerpts: Sequence[Excerpt]) -> ClipTensors:
        """Their input tensors on the policy's device, one clip each; empty where there are none."""
        new = unknown(excerpts, self.inputs)
        if new:
            audio = self.policy.excerpt_tensors([one.waveform for one in new])
            audio = {name: value.to(self.policy.device) for name, value in audio.items()}
            self.inputs |= {id(one): (one, pick_clips(audio, [i])) for i, one in enumerate(new)}
        return join_clips([self.inputs[id(one)][1] for one in excerpts])

    def frames(self, excerpts: Sequence[Excerpt]) -> Float[Tensor, "n d"] | None:
        """The frames that stand for their placeholders, one excerpt after another; None where there are none."""
        new = unknown(excerpts, self.encoded)
        if new:
            counts = [self.token_count(one) for one in new]
            placeholders = torch.tensor(counts, device=self.policy.device)
            frames = self.policy.frames_in_order(self.tensors(new), [1] * len(new), placeholders).split(counts)
            self.encoded |= {id(one): (one, own) for one, own in zip(new, frames, strict=True)}
        return torch.cat([self.encoded[id(one)][1] for one in excerpts]) if excerpts else None


def unknown(excerpts: Sequence[Excerpt], known: Mapping[int, object]) -> list[Excerpt]:
    """Those of the excerpts whose ids are not `known`, each once."""
    return list({id(one): one for one in excerpts if id(one) not in known}.values())
