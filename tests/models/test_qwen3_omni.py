"""Qwen3-Omni: what the contract of every family does not say."""

import numpy as np
import torch


@torch.no_grad()
def test_a_clip_shorter_than_a_block_does_not_depend_on_what_else_is_in_the_batch(make_policy):
    """The convolutions see the padding of a block, and their biases, zero in a random model, make something of it."""
    policy, rng = make_policy("qwen3_omni"), np.random.default_rng(0)
    for convolution in (policy.audio_tower.conv2d1, policy.audio_tower.conv2d2):
        convolution.bias.fill_(1.0)
    short, long = (rng.normal(size=n).astype(np.float32) for n in (7_000, 40_000))
    alone, own = policy.audio_embeds(policy.audio_tensors([short]))
    together, lengths = policy.audio_embeds(policy.audio_tensors([short, long]))
    assert own[0] == lengths[0]
    torch.testing.assert_close(together[0, : lengths[0]], alone[0], rtol=0, atol=1e-6)
