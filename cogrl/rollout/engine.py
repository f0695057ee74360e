"""The protocol of engines, which sample completions and return ids and log-probabilities exactly as sampled."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch

from cogrl.models.audio_lm import AudioLM
from cogrl.rollout.controller import Controller
from cogrl.rollout.sampling import Sampling
from cogrl.types import Clip, ModelInput, Rollouts


@runtime_checkable
class Engine(Protocol):
    """Chosen in YAML: `model.engine: {class_path: cogrl.rollout.HFEngine}`."""

    def sample(
        self,
        policy: AudioLM,
        clips: Sequence[Clip],
        formats: Sequence[str],
        sampling: Sampling,
        group_size: int = 1,
        policy_version: int = 0,
        inputs: Sequence[ModelInput] | None = None,
        generator: torch.Generator | None = None,
        controllers: Sequence[Controller] = (),
    ) -> Rollouts:
        """`group_size` completions of each of `p` clips, one format each; rows of a group are adjacent.

        `inputs` replaces the clips as input of the model (a control: silence, another clip, or the transcript); the
        labels of `clips` stay.
        """
        ...

    def sync(self, policy: AudioLM) -> None:
        """Take over the weights of `policy`; called before the first sample and after each change of the weights."""
        ...


@runtime_checkable
class ChecksControllers(Protocol):
    """An engine that can not run every controller."""

    def check_controllers(self, controllers: Sequence[Controller]) -> None:
        """Raises ValueError, with their names, for controllers that it can not run."""
        ...


def check_controllers(engine: Engine, controllers: Sequence[Controller]) -> None:
    """Raises ValueError for controllers that the engine can not run, before anything is sampled."""
    if isinstance(engine, ChecksControllers):
        engine.check_controllers(controllers)


@runtime_checkable
class Pending(Protocol):
    """Rollouts that an engine is still drawing."""

    def result(self) -> Rollouts:
        """Waits for them, and raises what drawing them has raised."""
        ...

    def cancel(self) -> None:
        """They are not wanted any more."""
        ...


@runtime_checkable
class BackgroundEngine(Engine, Protocol):
    """An engine whose completions are drawn by another process, while this one goes on."""

    def begin(
        self,
        policy: AudioLM,
        clips: Sequence[Clip],
        formats: Sequence[str],
        sampling: Sampling,
        group_size: int = 1,
        policy_version: int = 0,
        inputs: Sequence[ModelInput] | None = None,
        generator: torch.Generator | None = None,
        controllers: Sequence[Controller] = (),
    ) -> Pending:
        """Starts what `sample` does and returns at once. `sync` waits for it to end."""
        ...
