"""Explicit supervised fine-tuning: hear, write the four EIPS steps, reply. (arXiv:2606.06940, stage I)"""

import random
from collections.abc import Sequence
from typing import Any

import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from cogrl.models.audio_lm import AudioLM
from cogrl.objectives.reduce import sequence_mean
from cogrl.prompts import INSTRUCTIONS, heard, read
from cogrl.stages.stage import Stage
from cogrl.types import ROUTES, ClipBatch, Example, Heard, Prompts, Route


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
        self.trained: list[Route] = [r for r, share in (("A", 1 - route_b_ratio), ("B", route_b_ratio)) if share > 0]
        self.validated = self.trained

    def lacks_target(self, example: Example, route: Route) -> bool:
        """Whether a loss on this route could not be computed for an example."""
        return not example.targets.get(route)

    def refusal(self, example: Example) -> str | None:
        missing = [route for route in self.trained if self.lacks_target(example, route)]
        if missing:
            return f"no target for route {missing[0]}; add targets.{missing[0]} to this line"
        if self.reads and not example.text:
            return "no text to read; add it to this line or train with reads: false"
        return super().refusal(example)

    def on_validation_start(self) -> None:
        super().on_validation_start()
        self.validated = self.routes_to_validate(self.examples("val"))

    def routes_to_validate(self, examples: Sequence[Example]) -> list[Route]:
        """The routes that train, and one that does not where every example has a target for it.

        Decided on all validation examples, so alike on every rank. Warns of a route that only some have a target for.
        """
        chosen = list(self.trained)
        for route in ROUTES:
            missing = [example for example in examples if not example.targets.get(route)]
            if route in chosen or len(missing) == len(examples):
                continue
            if not missing:
                chosen.append(route)
                continue
            rank_zero_warn(
                f"val/loss_{route} is left out: {len(missing)} of {len(examples)} validation lines have no target for "
                f"route {route}, which this stage does not train; the first is {missing[0].where} ({missing[0].id})"
            )
        return chosen

    def training_step(self, batch: ClipBatch, batch_idx: int) -> torch.Tensor:
        draw = random.Random(f"{self.current_epoch}/{batch_idx}/{self.global_rank}")
        routes: list[Route] = ["B" if draw.random() < self.route_b_ratio else "A" for _ in batch.clips]
        loss = self.loss(batch, routes)
        self.log("train/loss", loss, batch_size=len(batch), prog_bar=True)
        return loss

    def validation_step(self, batch: ClipBatch, batch_idx: int) -> None:
        for route in self.validated:
            self.means.add(f"val/loss_{route}", self.loss(batch, [route] * len(batch)), batch.count)

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
