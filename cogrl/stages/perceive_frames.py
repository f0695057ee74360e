"""Perception warm-up frame by frame: what is heard when, before any language stage."""

from collections.abc import Sequence
from math import ceil
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cogrl.models.audio_lm import AudioLM
from cogrl.stages.perceive import blank
from cogrl.stages.warm_up import WarmUp
from cogrl.types import ClipBatch, Example

NOTHING = 0
"""The class of a frame in which nothing is heard."""


class PerceiveFrames(WarmUp):
    """Which event, and which unit of speech, is heard in each frame that enters the language model.

    Like `Perceive` it replaces the pretraining that a tiny random tower has not had. Targets are the times of a line's
    `events`, and the words of its `speech`, spread evenly over their turn: crude, and enough for a warm-up. With a grid
    every frame also says from when to when its event lasts, which a language model can then copy: times are not
    learned from the policy's answers alone. Clips are read at the rate of insertions. Only the audio tower and its
    projector learn; the heads are dropped at the end.

    Args:
        events: the names of events, in any order; a line with another one is refused.
        units: the words of speech; a line with another one is refused. Empty: speech is an event like others.
        grid_s: the grid, in seconds, on which an event's start is rounded down and its end up; None: no times.
        mask_frames: SpecAugment, see `WarmUp`.

    Raises ValueError for a name that is given twice and for a grid that is not above 0.
    """

    def __init__(
        self,
        policy: AudioLM,
        events: Sequence[str],
        units: Sequence[str] = (),
        grid_s: float | None = None,
        mask_frames: int = 16,
        **shared: Any,
    ) -> None:
        super().__init__(policy, mask_frames, **shared)
        if grid_s is not None and not grid_s > 0:
            raise ValueError(f"PerceiveFrames: grid_s={grid_s} must be above 0 seconds; leave it out for no times")
        for names in (events, units):
            if len(set(names)) < len(names):
                raise ValueError(f"PerceiveFrames: a name stands twice in {', '.join(names)}; give each once")
        self.names, self.units, self.grid_s = list(events), list(units), grid_s

    def configure_model(self) -> None:
        super().configure_model()
        self.head = nn.Linear(self.policy.width, sum(self.sizes))

    @property
    def sizes(self) -> list[int]:
        """How many classes the event, the unit, and the start and the end of the event have, nothing among each."""
        places = [ceil(self.policy.max_audio_s / self.grid_s) + 1] * 2 if self.grid_s else []
        return [len(self.names) + 1, len(self.units) + 1, *places]

    def validate(self, example: Example) -> str | None:
        if example.turns:
            return "takes single clips and no earlier turns; set data.history: left_out"
        if not example.events:
            return "no events, which is what this stage teaches; add them to this line or leave the line out"
        other = [event.name for event in example.events if event.name not in self.names]
        other += [
            word for turn in example.speech for word in turn.text.split() if self.units and word not in self.units
        ]
        if other:
            return f"{other[0]!r} is none of the events or units that are given; add it to them or leave the line out"
        return self.audio_length_error(example)

    def loss_and_accuracy(self, batch: ClipBatch, mask_frames: int) -> tuple[Tensor, Tensor]:
        """The sum of the cross-entropies of what each frame is asked; the share of frames in which all are right."""
        waveforms = [clip.waveform for clip in batch.clips]
        audio = {name: value.to(self.device) for name, value in self.policy.excerpt_tensors(waveforms).items()}
        audio["input_features"] = blank(audio["input_features"], mask_frames)
        frames, lengths = self.policy.audio_embeds(audio)
        real = torch.arange(frames.shape[1], device=self.device) < lengths[:, None]
        outputs = self.head(frames[real].to(self.head.weight.dtype))
        counts, durations = lengths.tolist(), [len(waveform) / self.policy.sampling_rate for waveform in waveforms]
        labels = torch.cat(
            [
                self.labels(clip.example, count, duration)
                for clip, count, duration in zip(batch.clips, counts, durations, strict=True)
            ]
        ).to(self.device)
        parts = outputs.split(self.sizes, 1)
        loss = sum(cross_entropy(part, labels[:, i]) for i, part in enumerate(parts))
        right = torch.stack([part.argmax(1) == labels[:, i] for i, part in enumerate(parts)]).all(0)
        return loss, right.float().mean()

    def labels(self, example: Example, count: int, duration_s: float) -> Int[Tensor, "f k"]:
        """The event and the unit in the middle of each of `count` equal frames of a clip, 0 for nothing.

        With a grid also the cells in which that event starts, counted from 1, and ends.
        """
        middle_s = (torch.arange(count) + 0.5) * duration_s / count
        found = torch.full((count, len(self.sizes)), NOTHING)
        for event in example.events:
            within = (middle_s >= event.start_s) & (middle_s < event.end_s)
            found[within, 0] = 1 + self.names.index(event.name)
            if self.grid_s:
                found[within, 2:] = torch.tensor(
                    [1 + int(event.start_s / self.grid_s), ceil(event.end_s / self.grid_s)]
                )
        for turn in example.speech if self.units else ():
            words, length_s = turn.text.split(), turn.end_s - turn.start_s
            for i, word in enumerate(words):
                start_s, end_s = (turn.start_s + place * length_s / len(words) for place in (i, i + 1))
                found[(middle_s >= start_s) & (middle_s < end_s), 1] = 1 + self.units.index(word)
        return found
