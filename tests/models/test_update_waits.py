"""From a micro-batch to its loss nothing waits for the device, once the masks have been read."""

from dataclasses import replace

import cogrl_kernels.linear_policy_loss as module
import pytest
import torch
from cogrl_kernels.linear_policy_op import linear_policy_loss_op
from device_syncs import META, Watch, opened

from cogrl.lm_head import PolicyLossConfig, policy_loss
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling
from cogrl.types import Prompts


@pytest.fixture
def policy(make):
    return make()


@pytest.mark.parametrize("kl_coef", [0.0, 0.1])
def test_states_and_loss_of_a_micro_batch_read_nothing_from_the_device(policy, clips, monkeypatch, kl_coef):
    rollouts = HFEngine().sample(
        policy, clips, ["eips", "direct", "eips", "direct"], Sampling(max_new_tokens=6), group_size=3
    )
    monkeypatch.setattr(module, "linear_policy_loss_op", opened(linear_policy_loss_op))
    policy.to(META)
    on_device = Prompts(rollouts.prompts.input_ids.to(META), rollouts.prompts.attention_mask.to(META), {}, (0,) * 4)
    completions = rollouts.completions.to(META)
    on_device.__dict__["mask_on_host"] = rollouts.prompts.mask_on_host
    embeds = torch.zeros(*on_device.input_ids.shape, policy.lm_head_weight.shape[1], device=META)
    logprobs = rollouts.sampling_logprobs.to(META)
    with Watch() as watch:
        states = policy.token_states(on_device, completions, 3, embeds)
        loss = policy_loss(
            states,
            policy.lm_head_weight,
            completions.ids,
            completions.mask_on_host,
            logprobs,
            torch.linspace(-1, 1, 12),
            PolicyLossConfig("grpo", kl_coef=kl_coef),
            routes=torch.zeros(12, dtype=torch.long, device=META),
            ref_logprobs=logprobs if kl_coef else None,
            bias=policy.lm_head_bias,
            impl="chunked",
        ).loss
    assert loss.device == META and watch.waits == []


def test_parts_of_a_rollout_carry_their_masks(policy, clips):
    from cogrl.stages import Grpo

    stage = Grpo(policy, group_size=3, sampling=Sampling(max_new_tokens=6))
    stage._trainer = type("", (), {"accumulate_grad_batches": 1})()
    rollouts = HFEngine().sample(
        policy, clips, ["eips", "direct", "eips", "direct"], Sampling(max_new_tokens=6), group_size=3
    )
    stage.buffer.fill(replace(rollouts, advantages=torch.randn(12)), stage.parts_per_batch, stage.passes, 0)
    assert stage.buffer.parts
    for part in stage.buffer.parts:
        assert "mask_on_host" in part.prompts.__dict__ and "roles_on_host" in part.completions.__dict__
        assert torch.equal(part.completions.mask_on_host, part.completions.mask)
        assert part.advantages.device.type == "cpu"
