"""What the policy loss refuses, and what the message says."""

import pytest
import torch
from cogrl_kernels.policy_loss import PolicyLossConfig, policy_loss
from cogrl_kernels.policy_tokens import chunk_loss, policy_tokens

REFUSED = [
    ({"logprobs": torch.zeros(2, 2)}, "logprobs is"),
    ({"logprobs": torch.zeros(4, dtype=torch.long)}, "logprobs is"),
    ({"cu_seqlens": torch.tensor([0.0, 2.0, 4.0])}, "cu_seqlens is"),
    ({"cu_seqlens": torch.tensor([], dtype=torch.long)}, "cu_seqlens is"),
    ({"cu_seqlens": torch.tensor([0, 2, 3])}, r"must rise from 0 to len\(logprobs\)=4.*\[0, 2, 3\]"),
    ({"cu_seqlens": torch.tensor([0, 5, 4])}, "must rise"),
    ({"cu_seqlens": torch.tensor([1, 2, 4])}, "must rise"),
    ({"advantages": torch.zeros(3)}, r"advantages is \(3,\).*\(2,\) or \(4,\)"),
    ({"advantages": torch.zeros(2, 1)}, r"advantages is \(2, 1\)"),
    ({"advantages": torch.zeros(2, dtype=torch.long)}, "advantages is .*int64"),
    ({"old_logprobs": torch.zeros(3)}, "old_logprobs"),
    ({"old_logprobs": torch.zeros(4, dtype=torch.int32)}, "old_logprobs is .*int32"),
    ({"entropy": torch.zeros(4, 1)}, "entropy"),
    ({"mask": torch.ones(4)}, "mask is .*float32"),
    ({"mask": torch.ones(3).bool()}, r"mask is \(3,\)"),
    ({"routes": torch.zeros(4).long()}, r"routes is \(4,\)"),
    ({"routes": torch.tensor([0, 1])}, r"routes must lie in \[0, config.n_routes=1\).*\[0, 1\]"),
    ({"routes": torch.tensor([0, -1])}, "routes must lie"),
    ({"config": PolicyLossConfig(kl_coef=0.1)}, "kl_coef=0.1 needs ref_logprobs"),
    ({"config": PolicyLossConfig(entropy_coef=0.1)}, "entropy_coef=0.1 needs entropy"),
    ({"config": PolicyLossConfig(is_cap=2.0)}, "is_cap=2.0 needs rollout_logprobs"),
    ({"rollout_logprobs": torch.zeros(4)}, "rollout_logprobs were given but is_cap is None"),
    ({"config": PolicyLossConfig(tau_pos=torch.ones(3))}, r"tau_pos is \(3,\).*\(\) or \(2,\) or \(4,\)"),
    ({"num_rollouts": -1}, "num_rollouts=-1"),
    ({"num_tokens": torch.ones(2)}, "num_tokens is"),
    ({"old_logprobs": torch.zeros(4, device="meta")}, "old_logprobs lies on meta and logprobs on cpu"),
    ({"num_tokens": torch.ones((), device="meta")}, "num_tokens lies on meta"),
    ({"impl": "chunked"}, "unknown impl='chunked'"),
    ({"impl": "triton", "logprobs": torch.zeros(4, dtype=torch.float64)}, "computes in float32"),
]


@pytest.mark.parametrize("change, message", REFUSED, ids=[m for _, m in REFUSED])
def test_what_does_not_fit_is_refused(change, message):
    arguments = {
        "logprobs": torch.zeros(4),
        "advantages": torch.zeros(2),
        "cu_seqlens": torch.tensor([0, 2, 4]),
        "config": PolicyLossConfig(),
    } | change
    with pytest.raises(ValueError, match=message):
        policy_loss(**arguments)


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"kind": "ppo"},
            "kind='ppo' is unknown; .*pass one of sapo, grpo, dapo, dr_grpo, gspo, cispo, rein",
        ),
        ({"kind": "grppo"}, "kind='grppo' is unknown; did you mean 'grpo'"),
        ({"reduction": "mean"}, "reduction='mean'"),
        ({"kl_estimator": "k4"}, "kl_estimator='k4'"),
        ({"tau_pos": 0.0}, "tau_pos=0.0"),
        ({"is_cap": 0.0}, "is_cap=0.0"),
        ({"kind": "grpo", "clip_low": -0.1}, "clip_low=-0.1"),
        ({"kind": "gspo", "clip_high": float("nan")}, "clip_high=nan"),
        ({"kind": "grpo", "tau_neg": 1.0}, "tau_neg=1.0 has no meaning for kind='grpo'"),
        ({"kind": "sapo", "clip_low": 0.2}, "clip_low=0.2 has no meaning for kind='sapo'"),
        ({"kind": "cispo", "clip_low": 0.2}, "clip_low=0.2 has no meaning for kind='cispo'"),
        ({"kind": "reinforce", "clip_high": 0.2}, "clip_high=0.2 has no meaning"),
        ({"kind": "dr_grpo"}, "length=None"),
        ({"length": 8}, "length=8 has no meaning for reduction='sequence_mean'"),
        ({"reduction": "fixed_length", "length": 0}, "length=0"),
        ({"n_routes": 0}, "n_routes=0"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PolicyLossConfig(**options)


def test_triton_on_a_cpu_is_refused():
    pytest.importorskip("triton")
    with pytest.raises(ValueError, match="needs tensors on a GPU"):
        policy_loss(torch.zeros(1), torch.zeros(1), torch.tensor([0, 1]), config=PolicyLossConfig(), impl="triton")


def test_a_chunk_of_gspo_is_refused():
    config, logprobs = PolicyLossConfig(kind="gspo"), torch.zeros(4)
    tokens = policy_tokens(logprobs, torch.ones(1), torch.tensor([0, 4]), config)
    with pytest.raises(ValueError, match="kind='gspo' needs whole rollouts"):
        chunk_loss(logprobs[:2], None, tokens.part(slice(0, 2)), config)


@pytest.mark.parametrize(
    ("kind", "count", "needed"), [("sapo", "num_tokens", "num_rollouts"), ("dapo", "num_rollouts", "num_tokens")]
)
def test_a_count_that_the_denominator_does_not_use_is_not_ignored(kind, count, needed):
    inputs = torch.zeros(4), torch.ones(2), torch.tensor([0, 2, 4])
    with pytest.raises(ValueError, match=needed):
        policy_loss(*inputs, config=PolicyLossConfig(kind), **{count: 8})
    policy_loss(*inputs, config=PolicyLossConfig(kind), **{count: 8, needed: 2})
