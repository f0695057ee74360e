"""The run that is examined: a stage, its data and its trainer, before the first step, and some of its lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytorch_lightning as pl
import torch

from cogrl.audio import audio_info
from cogrl.data.module import AudioData
from cogrl.formats import format_named
from cogrl.models.audio_lm import AudioLM
from cogrl.stages.stage import Stage
from cogrl.types import Clip, Example

_LINES = 64
"""So many lines, evenly spread over the manifest, stand for all of it where a check takes time."""
_CLIPS = 4
"""So many clips of these are decoded."""


@dataclass
class Case:
    """A stage with its data and trainer.

    Args:
        run_dir: the folder that the run will write.
        device_gib: the memory of one device in GiB; None: that of the devices here.
        elsewhere: this machine lacks the accelerator that the trainer asks for, and `trainer` has a CPU in its place.
    """

    stage: Stage
    data: AudioData
    trainer: pl.Trainer
    run_dir: Path
    device_gib: float | None = None
    elsewhere: bool = False

    @property
    def policy(self) -> AudioLM:
        return self.stage.policy

    @property
    def device(self) -> torch.device:
        return self.trainer.strategy.root_device

    @property
    def ranks(self) -> int:
        """Processes of the run, on all nodes."""
        return self.trainer.num_devices * self.trainer.num_nodes

    @cached_property
    def lines(self) -> list[Example]:
        """Training lines spread evenly over the manifest."""
        return [self.data.examples["train"][place] for place in self.places]

    @cached_property
    def places(self) -> list[int]:
        """Where `lines` stand in the manifest."""
        return spread(len(self.data.examples["train"]), _LINES)

    @cached_property
    def clips(self) -> list[Clip]:
        """A few decoded clips, the shortest and the longest of `lines` among them; longest first."""
        by_length = sorted(self.places, key=lambda place: -seconds(self.data.examples["train"][place]))
        clips = self.data.clips("train")
        return [clips[by_length[i]] for i in spread(len(by_length), _CLIPS)]

    def asked(self, items: Sequence[Clip | Example]) -> list[tuple[int, str]]:
        """(place, format) of each of `items` in each of the stage's formats that it can be asked in."""
        examples = [getattr(item, "example", item) for item in items]
        pairs = ((i, format) for i in range(len(examples)) for format in self.stage.formats)
        return [(i, format) for i, format in pairs if format_named(format).validate(examples[i]) is None]


def spread(count: int, most: int) -> list[int]:
    """At most so many places in [0, count), evenly spread, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def seconds(example: Example) -> float:
    return audio_info(example.audio).duration_s
