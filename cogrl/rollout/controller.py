"""Controllers: what may bend, force, interrupt or end a completion while it is sampled. (docs/controllers.md)"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cogrl.formats.segments import SegmentRules
from cogrl.models.audio_lm import AudioLM
from cogrl.types import Clip, ModelInput, Role, Rollouts, Span, Waveform


@dataclass(frozen=True)
class Tokens:
    """Token ids to put behind the token just drawn. They are read like any others and do not train.

    `role` is `Role.FORCED`, or `Role.LATENT` for tokens that only give the policy time to compute.
    """

    ids: Sequence[int]
    role: Literal[Role.FORCED, Role.LATENT] = Role.FORCED


@dataclass(frozen=True)
class Excerpt:
    """A clip inserted behind the token just drawn, between the audio markers of the model family.

    `waveform` has the sampling rate of the policy. `span` says which part of the prompt's clip it is, where it is one.
    The same object given to several completions of a call is encoded once.
    """

    waveform: Waveform
    span: Span | None = None


@dataclass(frozen=True)
class Abort:
    """Ends the completion here, without an end token; its finish reason is `abort`."""


Insertion = Tokens | Excerpt | Abort


class Controller:
    """Called during the sampling of completions. Subclasses override what they need; this one does nothing.

    State lives in tensors with one entry for each of the `b` completions of the call. Completions that have ended leave
    the batch, so every method gets `rows`: which of the `b` completions its `r` rows are.

    `training` is True in the rollouts that RL stages train on, and False in `test`, `predict` and evaluation. Two more
    attributes are set by the engine. `clips` are those of the prompts, one each and with their examples, from before
    `begin` on; a policy reads the `inputs` and not them. `positions_left` says, during `after`, how many tokens may be
    put behind each of its `rows` so that one more can be drawn; a row that gets more than that is cut before them.
    """

    training: bool = False
    rules: SegmentRules | None = None
    """Which cited segments it inserts, of a controller that reads them; pages and reports count by the same rules."""
    stops: Sequence[str] = ()
    """Texts that end with the token behind which it acts, of a controller that acts nowhere else: an engine that draws
    ahead of its controllers may stop there. Empty: it may act behind any token."""
    clips: Sequence[Clip] = ()
    positions_left: Int[Tensor, " r"] | None = None

    @property
    def bends(self) -> bool:
        """Whether it has to be asked before each draw: whether it overrides `adjust` or `hidden`."""
        return any(getattr(type(self), name) is not getattr(Controller, name) for name in ("adjust", "hidden"))

    def begin(self, policy: AudioLM, inputs: Sequence[ModelInput], group_size: int) -> None:
        """Called once before the first token: `b = len(inputs) * group_size`, groups adjacent.

        `inputs` is the policy's input of each prompt; in a control run that of the control and not the clip.
        """

    def adjust(
        self, logits: Float[Tensor, "r v"], rows: Int[Tensor, " r"]
    ) -> tuple[Float[Tensor, "r v"], Bool[Tensor, " r"] | None]:
        """The logits to draw from, and which rows were bent (None: none).

        What a bent row draws has the role `BENT`: it is part of the text but does not train, since it was not drawn
        from the policy. Its log-probability is that under the bent logits. A controller that merely forbids tokens may
        leave its rows unreported: then they train, at the log-probability they were drawn at, and the ratio of the
        objective is the importance weight.
        """
        return logits, None

    def hidden(self, rows: Int[Tensor, " r"]) -> Bool[Tensor, " r"] | None:
        """Which rows draw a hidden token now (None: none), asked before each draw, after `adjust`.

        A hidden token has the role `LATENT`: the policy draws and reads it, and it is neither text nor trains. Forbid
        the end tokens there (`adjust`): a hidden one ends its row like any other.
        """
        return None

    def after(
        self, tokens: Int[Tensor, " r"], logprobs: Float[Tensor, " r"], rows: Int[Tensor, " r"]
    ) -> Mapping[int, Sequence[Insertion]]:
        """What to put behind the token just drawn, by completion (a number out of `rows`), in order.

        Only running completions are in `rows`: none that drew an end token or reached its last token, and none that
        drew a token which another controller hides.
        """
        return {}

    def metrics(self, rollouts: Rollouts) -> Mapping[str, Float[Tensor, " b"]]:
        """What to report of rollouts that this controller took part in: one number a completion, NaN for none."""
        return {}

    def learn(self, rollouts: Rollouts, progress: float, over_ranks: Callable[[Tensor], Sequence[Tensor]]) -> None:
        """Called by RL stages once they have sampled what they train on, and by nothing else.

        `progress` is the share of the optimiser steps that are done. `over_ranks` gives a tensor's values on every
        rank; it is collective.
        """

    def state_dict(self) -> dict[str, Any]:
        """What it has learned, for the checkpoint of the run."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave."""

    def save(self, folder: Path) -> None:
        """Writes into the folder of the exported policy what it needs to be used with that policy."""


def segment_rules(controllers: Sequence[Controller]) -> SegmentRules:
    """The rules of the first controller that has any; the default ones where none has."""
    return next((controller.rules for controller in controllers if controller.rules), SegmentRules())


def reported(controllers: Sequence[Controller], rollouts: Rollouts) -> dict[str, Float[Tensor, " b"]]:
    """What is reported of rollouts under controllers, on the CPU: one number a completion.

    `aborted`, `relistens` (clips that were inserted) and the controllers' own figures; nothing without controllers.
    """
    if not controllers:
        return {}
    aborted = torch.tensor([float(reason == "abort") for reason in rollouts.finish])
    found = {"aborted": aborted, "relistens": torch.tensor(rollouts.completions.clip_counts).float()}
    for controller in controllers:
        found |= {name: values.cpu() for name, values in controller.metrics(rollouts).items()}
    return found


@contextmanager
def begun(
    controllers: Sequence[Controller],
    policy: AudioLM,
    clips: Sequence[Clip],
    inputs: Sequence[ModelInput],
    group_size: int,
) -> Iterator[None]:
    """Within it the controllers have begun a call of an engine, and the policy is in evaluation mode."""
    was_training = policy.training
    policy.eval()
    try:
        for controller in controllers:
            controller.clips = clips
            controller.begin(policy, inputs, group_size)
        yield
    finally:
        policy.train(was_training)


@contextmanager
def in_training(controllers: Sequence[Controller]) -> Iterator[None]:
    """Within it, `training` of the controllers is True."""
    for controller in controllers:
        controller.training = True
    try:
        yield
    finally:
        for controller in controllers:
            controller.training = False
