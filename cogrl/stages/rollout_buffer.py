"""The rollouts that are being learnt from, cut into micro-batches of whole groups."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from cogrl.types import Clip, Rollouts
from cogrl.types.rollouts_state import rollouts_of, state_of


class RolloutBuffer:
    """One `Rollouts`, and which groups of it each micro-batch that is left has, in the order of their use.

    Its state is those two, the rollouts without their clips, and the optimiser step that began to use them: a resumed
    run gets the same clips from its loader again and draws nothing anew.
    """

    def __init__(self) -> None:
        self.rollouts: Rollouts | None = None
        self.step = 0
        self.left: list[list[int]] = []
        self.parts: list[Rollouts] = []
        self.kept: Mapping[str, Any] | None = None

    def fill(self, rollouts: Rollouts, parts: int, passes: int, step: int) -> None:
        """Micro-batches of whole groups in the order they will be used, freshly shuffled on each pass, from `step` on.

        They are equal in size, on every rank, so that the mean over one is the mean over all: Lightning averages over
        accumulated micro-batches and ranks. Raises ValueError where the groups can not be split into `parts`.
        """
        groups = len(rollouts.clips)
        if groups % parts:
            raise ValueError(
                f"{groups} prompts a batch can not be split into {parts} equal micro-batches (updates_per_rollout / "
                "passes * accumulate_grad_batches); change data.batch_size"
            )
        order = [index for _ in range(passes) for index in torch.randperm(groups).chunk(parts)]
        self.cut(rollouts, [index.tolist() for index in order], step)

    def cut(self, rollouts: Rollouts, order: list[list[int]], step: int) -> None:
        """Micro-batches of these groups, in this order, the first of them of optimiser step `step`."""
        self.rollouts, self.left, self.step, self.kept = rollouts, order, step, None
        self.parts = [rollouts.groups(index) for index in order]
        for part in self.parts:
            _ = part.prompts.mask_on_host, part.completions.roles_on_host  # read now, so that no update waits for it

    def has_parts(self, clips: Sequence[Clip], device: torch.device) -> bool:
        """Whether a micro-batch of these clips is left; rollouts of a checkpoint get their clips here.

        Raises ValueError when there are more or fewer clips than those rollouts have.
        """
        if self.kept is not None:
            ids, found = self.kept["ids"], [clip.example.id for clip in clips]
            if len(ids) != len(found):
                raise ValueError(
                    f"the checkpoint holds rollouts of {len(ids)} prompts and a batch has {len(found)} now; set "
                    f"data.batch_size: {len(ids)} as it was, or start a new run from the export of this one"
                )
            if ids != found:
                warnings.warn(
                    f"the checkpoint's rollouts are of other clips than the data now give ({ids[0]}, now {found[0]}); "
                    "they are used up under the names of these: the manifest has changed since",
                    stacklevel=2,
                )
            self.cut(rollouts_of(self.kept["rollouts"], clips, device), self.kept["left"], self.kept["step"])
        return bool(self.parts)

    def pop(self) -> Rollouts:
        """The next micro-batch."""
        self.left = self.left[1:]
        return self.parts.pop(0)

    def state_dict(self) -> dict[str, Any]:
        """Plain data and tensors, which no later step changes; empty when nothing is left."""
        if self.kept is not None:
            return dict(self.kept)
        if not self.left:
            return {}
        ids = [clip.example.id for clip in self.rollouts.clips]
        return {"ids": ids, "rollouts": state_of(self.rollouts), "left": self.left, "step": self.step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.kept = state or None
