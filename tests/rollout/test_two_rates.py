"""Insertions are fine where the first pass is coarse, and are scored as they were sampled."""

import pytest
import torch
from interruptions import RandomInsertions, sharpened

from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.rollout import HFEngine, Sampling
from cogrl.types import Role


@pytest.fixture
def policy(coarse_policy_dir, monkeypatch):
    return sharpened(Qwen2Audio(str(coarse_policy_dir)).load(), monkeypatch)


@torch.no_grad()
@pytest.mark.parametrize("share", [True, False])
def test_insertions_are_scored_at_the_rate_they_were_sampled_at(policy, clips, share):
    policy.share_prompt = share
    settings = {"generator": torch.Generator().manual_seed(0), "controllers": [RandomInsertions(0)]}
    rollouts = HFEngine().sample(policy, clips, ["direct"] * len(clips), Sampling(max_new_tokens=12), 2, **settings)
    assert (rollouts.completions.roles == Role.AUDIO).any()
    assert set(rollouts.prompts.audio["pooling"].tolist()) == {8}
    assert set(rollouts.completions.audio["pooling"].tolist()) == {1}
    scored = policy.token_logprobs(rollouts.prompts, rollouts.completions, group_size=2).logprobs
    mask = rollouts.completions.mask
    torch.testing.assert_close(scored[mask], rollouts.sampling_logprobs[mask], rtol=0, atol=1e-4)
