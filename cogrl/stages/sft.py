"""Explicit supervised fine-tuning: hear, write the four EIPS steps, reply. (arXiv:2606.06940, stage I)"""

import random
from collections.abc import Sequence
from typing import Any

import torch

from cogrl.models.audio_lm import AudioLM
from cogrl.objectives.reduce import sequence_mean
from cogrl.prompts import INSTRUCTIONS, heard, read
from cogrl.stages.stage import Stage
from cogrl.types import ClipBatch, Example, Heard, Prompts, Route


class Sft(Stage):
    """Cross-entropy on the target (end token included), mean over each sample's tokens, then over samples.

    Route-A targets are several times longer than route-B ones; the mean per sample keeps their weights equal.

    Args:
        route_b_ratio: share of samples shown with prompt B and the direct reply; 0 is the paper's stage I.
        reads: the policy reads words and emotion instead of hearing the clip (see `prompts.read`): how a random
            language model becomes the text model that `Align` wants as a teacher. Not for a policy that has learnt
            to listen.
    """

    def __init__(
        self,
        policy: AudioLM,
        route_b_ratio: float = 0.5,
        reads: bool = False,
        **shared: Any,
    ) -> None:
        super().__init__(policy, **shared)
        if not 0 <= route_b_ratio <= 1:
            raise ValueError(f"route_b_ratio={route_b_ratio} must lie in [0, 1]")
        self.route_b_ratio, self.reads = route_b_ratio, reads

    def refusal(self, example: Example) -> str | None:
        needed = [route for route, share in (("A", 1 - self.route_b_ratio), ("B", self.route_b_ratio)) if share > 0]
        missing = [route for route in needed if not example.targets.get(route)]
        if missing:
            return f"no target for route {missing[0]}; add targets.{missing[0]} to this line"
        return super().refusal(example)

    def training_step(self, batch: ClipBatch, batch_idx: int) -> torch.Tensor:
        draw = random.Random(f"{self.current_epoch}/{batch_idx}/{self.global_rank}")
        routes: list[Route] = ["B" if draw.random() < self.route_b_ratio else "A" for _ in batch.clips]
        loss = self.loss(batch, routes)
        self.log("train/loss", loss, batch_size=len(batch), prog_bar=True)
        return loss

    def validation_step(self, batch: ClipBatch, batch_idx: int) -> None:
        for route in {route for clip in batch.clips for route in clip.example.targets}:
            loss = self.loss(batch, [route] * len(batch))
            self.log(f"val/loss_{route}", loss, batch_size=len(batch), sync_dist=True)

    def loss(self, batch: ClipBatch, routes: list[Route]) -> torch.Tensor:
        """Mean negative log-likelihood of the targets on these routes."""
        prompts = self.encode(batch, routes, [read(clip) if self.reads else heard(clip) for clip in batch.clips])
        targets = self.policy.encode_targets(
            [clip.example.target(route) for clip, route in zip(batch.clips, routes, strict=True)]
        )
        tokens = self.policy.token_logprobs(prompts, targets)
        return sequence_mean(-tokens.logprobs, targets.mask, len(batch))

    def encode(self, batch: ClipBatch, routes: Sequence[Route], given: Sequence[Heard]) -> Prompts:
        """The prompts of these routes around what is heard (or read)."""
        names = [clip.example.id for clip in batch.clips]
        return self.policy.encode_prompts([INSTRUCTIONS[route] for route in routes], given, names)
