"""GRPO on audio questions with every family: one real step."""

from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
from policy_families import FAMILIES
from torch.utils.data import DataLoader

from cogrl.rewards import WeightedSum
from cogrl.rollout.sampling import Sampling
from cogrl.stages import Grpo
from cogrl.stages.optim import Optim
from cogrl.types import ClipBatch


def vowels(answer) -> float:
    """Differs from one random answer to the next, as being right does not."""
    return sum(map(answer.text.count, "aeiou")) / 10


@pytest.fixture
def asked(clips):
    question = {"question": "How does the speaker sound?", "choices": ("calm", "angry"), "answer": "calm"}
    return [replace(clip, example=replace(clip.example, **question)) for clip in clips[:2]]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_grpo_step_on_audio_questions_moves_the_policy(family, make_policy, asked):
    policy = make_policy(family)
    stage = Grpo(
        policy,
        formats=("choice",),
        reward=WeightedSum({"vowels": vowels}, {"vowels": 1.0}),
        group_size=4,
        sampling=Sampling(max_new_tokens=6),
        optim=Optim(lr=1e-3),
    )
    drifts, log_update = [], stage.log_update
    stage.log_update = lambda metrics: drifts.append(metrics["log_ratio_abs"].item()) or log_update(metrics)
    before = {name: p.clone() for name, p in policy.named_parameters()}
    trainer = pl.Trainer(
        max_steps=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    stage._trainer = trainer
    trainer.fit(stage, DataLoader([ClipBatch(asked)] * stage.steps_per_batch, batch_size=None))
    moved = {name for name, p in policy.named_parameters() if not torch.equal(p, before[name])}
    assert any("audio_tower" in name for name in moved) and any("language_model" in name for name in moved)
    assert drifts[0] < 1e-4 and all(p.isfinite().all() for p in policy.parameters())
