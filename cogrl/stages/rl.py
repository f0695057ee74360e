"""The RL loop every policy-gradient stage shares: sample -> score -> credit -> update."""

import warnings
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cogrl.lm_head import PolicyLossConfig, PolicyMetrics
from cogrl.models.audio_lm import AudioLM
from cogrl.objectives.advantages import group_normalised
from cogrl.stages.stage import Stage
from cogrl.types import ClipBatch, Rollouts, Route, Scores


class RLStage(Stage, ABC):
    """Rollouts of a batch of clips, kept in a buffer and consumed by `updates_per_rollout` optimiser steps.

    Lightning's automatic optimisation drives it: one `training_step` is one micro-batch out of the buffer (whole
    groups), and the step that begins a batch of clips fills the buffer. Accumulation, clipping, precision and strategy
    keep their Trainer meaning. Old log-probabilities are the ones recorded at sampling and stay frozen.

    Args:
        group_size: completions a prompt.
        routes: prompt kinds; clips take them in turn, so their shares are equal. A group never mixes routes.
        updates_per_rollout: optimiser steps fed by one rollout. With 1 the ratio is 1 and any gate or clip is inert.
        passes: how many times each completion is used; each pass is split into `updates_per_rollout / passes` parts.
    """

    def __init__(
        self,
        policy: AudioLM,
        group_size: int = 8,
        routes: tuple[Route, ...] = ("A", "B"),
        updates_per_rollout: int = 2,
        passes: int = 1,
        **shared: Any,
    ) -> None:
        super().__init__(policy, **shared)
        if group_size < 2:
            raise ValueError(f"group_size={group_size}: a group needs at least 2 completions to be compared")
        if updates_per_rollout % passes:
            raise ValueError(f"updates_per_rollout={updates_per_rollout} is not a multiple of passes={passes}")
        if updates_per_rollout == 1:
            warnings.warn("updates_per_rollout=1: every ratio is 1, so the gate (or clip) is inert", stacklevel=2)
        self.group_size, self.routes = group_size, tuple(routes)
        self.updates_per_rollout, self.passes = updates_per_rollout, passes
        self.buffer: list[Rollouts] = []
        self.rollouts: Rollouts | None = None
        self.scores: Scores | None = None

    @abstractmethod
    def objective(self) -> PolicyLossConfig:
        """Which loss, with which bounds and denominator: the one thing that differs between objectives."""

    @property
    def steps_per_batch(self) -> int:
        return self.updates_per_rollout * self.trainer.accumulate_grad_batches

    def configure_model(self) -> None:
        super().configure_model()
        self.policy.without_dropout()

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        if batch_idx % self.steps_per_batch == 0 or not self.buffer:
            self.rollouts = self.sample(batch)
            self.scores = self.score(self.rollouts)
            self.rollouts = self.credit(self.rollouts, self.scores)
            self.buffer = self.split(self.rollouts)
        part = self.buffer.pop(0)
        loss = self.update(part)
        self.log("train/loss", loss, batch_size=len(part), prog_bar=True)
        return loss

    def sample(self, batch: ClipBatch) -> Rollouts:
        """`group_size` completions for each clip, routes in turn."""
        first = self.global_step // self.updates_per_rollout
        routes = [self.routes[(first + i) % len(self.routes)] for i in range(len(batch))]
        return self.engine.sample(
            self.policy, batch.clips, routes, self.sampling, self.group_size, self.global_step, generator=self.dice()
        )

    def dice(self) -> torch.Generator:
        """Randomness of one rollout, fixed by (run seed, optimiser step, rank): ranks differ, a resumed run repeats."""
        seed = torch.initial_seed() * 1_000_003 + self.global_step * 65_537 + self.global_rank
        return torch.Generator(self.device).manual_seed(seed % 2**63)

    def score(self, rollouts: Rollouts) -> Scores:
        """Rewards on the CPU; logs each term for each route."""
        scores = super().score(rollouts)
        for route in self.routes:
            mine = torch.tensor([r == route for r in rollouts.row_routes])
            for name, value in {"total": scores.total, **scores.terms}.items():
                self.log_finite(f"reward/{route}/{name}", value[mine])
            self.log_finite(f"rollout/{route}/length", rollouts.completions.mask.sum(1).cpu()[mine].float())
        self.log_finite("rollout/truncated", (~rollouts.finished).float())
        for name, value in scores.metrics.items():
            self.log_finite(name, torch.tensor([value]))
        return scores

    def credit(self, rollouts: Rollouts, scores: Scores) -> Rollouts:
        """Group-normalised advantages. A failed reward (NaN) stands at its group's mean: no advantage, no influence."""
        grouped = scores.total.view(-1, self.group_size)
        filled = torch.where(grouped.isnan(), grouped.nanmean(1, keepdim=True).nan_to_num(), grouped)
        scored = grouped.isfinite().float().mean(1, keepdim=True)  # the filled ones must not shrink the deviation
        advantages = (group_normalised(filled.flatten(), self.group_size).view_as(grouped) * scored.sqrt()).flatten()
        advantages = advantages.masked_fill(scores.total.isnan(), 0.0).to(self.device)
        flat = (advantages.view(-1, self.group_size) == 0).all(1)
        self.log_finite("rollout/groups_without_signal", flat.float())
        return replace(rollouts, rewards=scores.total, advantages=advantages)

    def split(self, rollouts: Rollouts) -> list[Rollouts]:
        """Micro-batches of whole groups in the order they will be used, freshly shuffled on each pass.

        They are equal in size, on every rank, so that the mean over one is the mean over all: Lightning averages over
        accumulated micro-batches and ranks.
        """
        groups = len(rollouts.clips)
        parts = self.steps_per_batch // self.passes
        if groups % parts:
            raise ValueError(
                f"{groups} prompts a batch can not be split into {parts} equal micro-batches (updates_per_rollout / "
                "passes * accumulate_grad_batches); change data.batch_size"
            )
        order = [torch.randperm(groups).chunk(parts) for _ in range(self.passes)]
        return [rollouts.groups(index.tolist()) for one_pass in order for index in one_pass]

    def update(self, rollouts: Rollouts) -> Float[Tensor, ""]:
        """The loss of one micro-batch. A new idea for it can be tried here with the functions of `cogrl.objectives`."""
        routes = torch.tensor([self.routes.index(route) for route in rollouts.row_routes], device=self.device)
        objective = replace(self.objective(), n_routes=len(self.routes))
        out = self.policy.policy_loss(rollouts, objective, routes, self.sampling.temperature)
        self.log_update(PolicyMetrics(out.metrics.table.cpu()))  # one wait for the device
        return out.loss

    def log_update(self, metrics: PolicyMetrics) -> None:
        """What every policy-gradient objective reports about an update; the gate by route and advantage sign.

        Raises RuntimeError when no token has a finite log-probability: such a policy is broken and must not train on.
        """
        if metrics["bad"] and metrics["bad"] == metrics["tokens"]:
            raise RuntimeError(
                f"none of the {int(metrics['tokens'])} tokens of this update has finite log-probabilities; "
                "lower optim.lr or go back to an earlier checkpoint"
            )
        for name in ("entropy", "log_ratio_abs", "kl_old", "ratio_max", "bad"):
            self.log_finite(f"policy/{name}", metrics[name][None])
        self.log_finite("gate/effective_tokens", metrics["effective"][None])
        for row, route in enumerate(self.routes):
            for sign in ("pos", "neg"):
                self.log_finite(f"gate/{route}/{sign}", metrics.of(row, sign)["gate"][None])

    def log_finite(self, name: str, values: Tensor) -> None:
        """Log the mean of the finite values; nothing when there are none."""
        values = values[values.isfinite()]
        if len(values):
            self.log(name, values.mean(), batch_size=len(values), on_step=True, on_epoch=False)
