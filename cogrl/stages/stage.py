"""What every stage shares: the policy, the optimiser, and how a trained policy is tested and asked."""

from dataclasses import dataclass

import pytorch_lightning as pl
import torch

from cogrl.models.audio_lm import AudioLM
from cogrl.rewards.composite import DualRouteReward, ExplicitReward, ImplicitReward, Reward
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling
from cogrl.types import ROUTES, ClipBatch, Rollouts, Route, Scores


@dataclass(frozen=True)
class Optim:
    """AdamW with a linear warm-up, then constant. `warmup_steps` counts optimiser steps."""

    lr: float = 1e-4
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    warmup_steps: int = 0


class Stage(pl.LightningModule):
    """A policy in training. Subclasses define `training_step`; `test` and `predict` are the same for all.

    Args:
        policy: the audio language model; its weights are read in `configure_model`.
        optim: AdamW settings.
        sampling: how completions are drawn; `test` and `predict` use its `max_new_tokens`, greedily.
        reward: grades both routes in `test` (and trains the RL stages).
    """

    def __init__(
        self,
        policy: AudioLM,
        optim: Optim = Optim(),
        sampling: Sampling = Sampling(),
        reward: Reward | None = None,
    ) -> None:
        super().__init__()
        self.policy, self.optim, self.sampling = policy, optim, sampling
        self.reward = reward or DualRouteReward(ExplicitReward(), ImplicitReward())
        self.engine = HFEngine()

    @property
    def steps_per_batch(self) -> int:
        """How many consecutive training steps one batch of clips serves; the data module repeats it that often."""
        return 1

    def configure_model(self) -> None:
        self.policy.load()

    def configure_optimizers(self):
        trained = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            trained, lr=self.optim.lr, betas=self.optim.betas, weight_decay=self.optim.weight_decay
        )
        warmup = max(1, self.optim.warmup_steps)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: ClipBatch, device: torch.device, dataloader_idx: int) -> ClipBatch:
        """Clips stay on the CPU: the policy's encoder puts what it makes of them on the device."""
        return batch

    def test_step(self, batch: ClipBatch, batch_idx: int) -> None:
        """Greedy answers on both routes, graded by the training reward: `test/<route>/<term>`."""
        for route in ROUTES:
            scores = self.score(self.answer(batch, route))
            terms = {"reward": scores.total} | dict(scores.terms)
            means = {f"test/{route}/{name}": value.nanmean() for name, value in terms.items()}
            self.log_dict(
                {name: value for name, value in means.items() if not value.isnan()},
                batch_size=len(batch),
                sync_dist=True,
            )

    def predict_step(self, batch: ClipBatch, batch_idx: int) -> list[dict[str, str]]:
        """One record a clip: its id and both routes' greedy answers."""
        answers = {route: self.answer(batch, route).texts for route in ROUTES}
        return [
            {"id": clip.example.id} | {route: answers[route][i] for route in ROUTES}
            for i, clip in enumerate(batch.clips)
        ]

    def score(self, rollouts: Rollouts) -> Scores:
        """The reward of each completion by its route, on the CPU."""
        return self.reward.score(rollouts.texts, rollouts.row_routes, rollouts.row_examples)

    def answer(self, batch: ClipBatch, route: Route) -> Rollouts:
        """One greedy completion a clip on `route`."""
        greedy = Sampling(max_new_tokens=self.sampling.max_new_tokens, greedy=True)
        return self.engine.sample(self.policy, batch.clips, [route] * len(batch), greedy)
