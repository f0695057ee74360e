"""A real GRPO step with re-listening: clips are inserted, reported, read in the update, and train what may train. (En:
defects of Echo's public code.)
"""

import pytest
import pytorch_lightning as pl
import torch
from citing import Writes, script_of
from test_rl import CountsTokens, batches, stage_of

from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.rollout import Sampling
from cogrl.rollout.controllers import Relisten
from cogrl.stages import Grpo
from cogrl.stages.objective import Objective
from cogrl.types import Role

ROWS = [
    [2, "<seg>0.1, 0.4</seg>", 4],
    ["<seg>0.1, 0.4</seg><seg>0.1, 0.4</seg>", 4],
    [1, "<seg>0, 99</seg>", 3],
    [8],
]


def fit(stage, clips):
    """One optimiser step; what was logged of the rollouts."""
    logged, log_dict = {}, stage.log_dict
    stage.log_dict = lambda values, **how: logged.update(values) or log_dict(values, **how)
    trainer = pl.Trainer(
        max_steps=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    stage._trainer = trainer
    trainer.fit(stage, batches(clips, stage.steps_per_batch, 1))
    return logged


def relistening(folder, clips, controllers=(Relisten,), **settings):
    policy = Qwen2Audio(str(folder), **settings).load()
    scripts = [script_of(policy, row) for _ in clips for row in ROWS]
    how = {
        "controllers": [Writes(scripts, may_end=True), *(kind() for kind in controllers)],
        "sampling": Sampling(max_new_tokens=max(map(len, scripts))),
        "objective": Objective("grpo", kl_coef=0.04),
        "reference": str(folder),
    }
    with pytest.warns(UserWarning, match="every ratio is 1"):
        return stage_of(Grpo, policy, CountsTokens(), formats=("eips",), updates_per_rollout=1, **how)


@pytest.mark.parametrize("frozen", [False, True])
def test_e1_e12_a_step_inserts_clips_reports_them_and_trains_the_tower_unless_it_is_frozen(
    tiny_policy_dir, clips, frozen
):
    stage = relistening(tiny_policy_dir, clips[:2], train_audio_tower=not frozen)
    before = {name: p.detach().clone() for name, p in stage.policy.named_parameters()}
    logged = fit(stage, clips[:2])
    completions = stage.rollouts.completions
    inserted = completions.clip_counts
    assert inserted[1] == inserted[5] == 1 and sum(inserted) >= 3 and inserted[3] == inserted[7] == 0
    assert (completions.roles == Role.AUDIO).any(1).tolist() == [count > 0 for count in inserted]
    assert logged["rollout/relistens"] == logged["rollout/segments"] == pytest.approx(sum(inserted) / 8)
    assert logged["rollout/segment_seconds"] == pytest.approx(0.3 * sum(inserted) / 8)
    assert logged["rollout/invalid_duplicate"] == pytest.approx(2 / 8)
    assert logged["rollout/cited"] > logged["rollout/segments"]
    tokens = stage.rollouts.completions.mask.sum().item()
    assert stage.tokens_a_part == pytest.approx(tokens)  # E4: what is averaged over
    moved = {name for name, p in stage.policy.named_parameters() if not torch.equal(p, before[name])}
    assert any("language_model" in name for name in moved)
    assert any("audio_tower" in name for name in moved) == (not frozen)


def test_e1_the_count_is_zero_when_nothing_inserts(tiny_policy_dir, clips):
    stage = relistening(tiny_policy_dir, clips[:2], controllers=())
    fit(stage, clips[:2])
    assert sum(stage.rollouts.completions.clip_counts) == 0
