"""An update asks the device for nothing: no value is read, and what is sent there is not waited for.

On tensors without data (device "meta") reading a value is an error; a mode notes copies that would block.
"""

import pytest
import torch
from cogrl_kernels.forward_gradients import scaled
from cogrl_kernels.head_chunks import accumulate_
from cogrl_kernels.linear_policy_loss import linear_policy_loss
from cogrl_kernels.linear_policy_op import linear_policy_loss_op
from cogrl_kernels.policy_config import PolicyLossConfig
from cogrl_kernels.policy_loss import policy_loss
from cogrl_kernels.policy_op import fused
from cogrl_kernels.prefix import prefix_attention, prefix_plan
from device_syncs import META, Watch, opened

LENGTHS = (5, 0, 40, 300)


def anchored(ratio, advantages, strength):
    return -ratio * advantages + strength * (ratio - 1) ** 2


CONFIGS = {
    "sapo": {"tau_pos": 1.5},
    "by rollout": {"tau_pos": torch.ones(len(LENGTHS), device=META)},
    "kl": {"kind": "grpo", "kl_coef": 0.1},
    "everything": {"kind": "dapo", "kl_coef": 0.1, "entropy_coef": 0.01, "is_cap": 2.0},
    "dr_grpo": {"kind": "dr_grpo", "length": 300},
    "cispo": {"kind": "cispo"},
    "reinforce": {"kind": "reinforce"},
    "own": {"kind": f"{__name__}.anchored", "options": {"strength": 0.1}},
}


def problem(config):
    n, s = sum(LENGTHS), len(LENGTHS)
    vectors = {name: torch.zeros(n, device=META) for name in ("old_logprobs", "ref_logprobs", "rollout_logprobs")}
    if not config.kl_coef:
        del vectors["ref_logprobs"]
    if config.is_cap is None:
        del vectors["rollout_logprobs"]
    return {
        "hidden": torch.zeros(n, 16, device=META, requires_grad=True),
        "weight": torch.zeros(2500, 16, device=META, requires_grad=True),
        "targets": torch.zeros(n, dtype=torch.long, device=META),
        "advantages": torch.zeros(s, device=META),
        "cu_seqlens": torch.zeros(s + 1, dtype=torch.long, device=META),
        "routes": torch.zeros(s, dtype=torch.long, device=META),
        "trains": torch.arange(n) % 3 > 0,
        **vectors,
    }


@pytest.mark.parametrize("name", CONFIGS)
def test_a_one_pass_loss_reads_nothing_from_the_device(name, monkeypatch):
    import cogrl_kernels.linear_policy_loss as module

    config = PolicyLossConfig(**CONFIGS[name])
    monkeypatch.setattr(module, "linear_policy_loss_op", opened(linear_policy_loss_op))
    with Watch() as watch:
        out = linear_policy_loss(**problem(config), config=config, temperature=0.8, impl="chunked")
    assert out.loss.device == META and watch.made and watch.waits == []


def test_without_gradients_it_reads_nothing_either(monkeypatch):
    import cogrl_kernels.linear_policy_loss as module

    config = PolicyLossConfig("grpo")
    monkeypatch.setattr(module, "linear_policy_loss_op", opened(linear_policy_loss_op))
    given = {name: x for name, x in problem(config).items() if name != "trains"}
    with torch.no_grad(), Watch() as watch:
        linear_policy_loss(**given, config=config, impl="chunked")
    assert watch.waits == []


@pytest.mark.parametrize("name", [*CONFIGS, "gspo"])
def test_a_loss_of_log_probabilities_reads_nothing_from_the_device(name):
    config = PolicyLossConfig(**(CONFIGS | {"gspo": {"kind": "gspo"}})[name])
    given = problem(config)
    logprobs = torch.zeros(sum(LENGTHS), device=META, requires_grad=True)
    for unused in ("hidden", "weight", "targets", "trains"):
        del given[unused]
    with Watch() as watch:
        out = policy_loss(logprobs, **given, entropy=logprobs * 0 + 1, config=config, impl="reference")
        out.loss.backward()
    assert logprobs.grad.shape == logprobs.shape and watch.waits == []


@pytest.mark.parametrize("name", [*CONFIGS, "gspo"])
def test_settings_reach_the_triton_loss_without_waiting(name):
    config = PolicyLossConfig(**(CONFIGS | {"gspo": {"kind": "gspo"}})[name])
    given = problem(config)
    against = {f"{name}_logprobs": given.get(f"{name}_logprobs") for name in ("old", "ref", "rollout")}
    logprobs = torch.zeros(sum(LENGTHS), device=META, requires_grad=True)
    with Watch() as watch:
        loss, _ = fused(  # its kernels have a form without data, as every operator of torch.library
            logprobs,
            logprobs.detach() + 1,
            given["advantages"],
            given["cu_seqlens"],
            config,
            **against,
            mask=None,
            routes=given["routes"],
            num_tokens=None,
            num_rollouts=None,
        )
        loss.backward()
    assert watch.waits == [] and logprobs.grad.device == META


@pytest.mark.parametrize("lengths", [(3, 5, 1, 7), (4, 4, 4, 4)])
def test_a_plan_is_made_on_the_cpu_and_sent_without_waiting(lengths):
    with Watch() as watch:
        plan = prefix_plan(torch.tensor([6, 9]), torch.tensor(lengths), 2, device=META)
        total = len(plan.source)
        query, key = (torch.zeros(1, heads, total, 8, device=META) for heads in (4, 2))
        attended = prefix_attention(query, key, key, plan)
        assert plan.spans[0].device == plan.rows.device == META
    assert attended.shape == query.shape and watch.waits == []


def test_the_watch_sees_what_blocks_and_meta_tensors_refuse_to_be_read():
    on_device = torch.zeros(4, device=META)
    with Watch() as watch:
        torch.ones(4).to(META)
        on_device[torch.tensor([1, 2])]
        torch.ones(4).to(META, non_blocking=True)
    assert len(watch.waits) == 2
    for read in (lambda: (on_device > 0).nonzero(), lambda: on_device.tolist(), lambda: bool(on_device.any())):
        with pytest.raises((NotImplementedError, RuntimeError)):
            read()


def test_a_gradient_is_accumulated_without_a_second_float32_copy():
    total = torch.zeros(2500, 16, device=META)
    dz, states = (torch.zeros(300, width, device=META, dtype=torch.bfloat16) for width in (2500, 16))
    with Watch() as watch:
        assert accumulate_(total, dz.T, states) is total
    assert (tuple(total.shape), torch.float32) not in watch.made
    a, b, filled = torch.randn(40, 7), torch.randn(7, 9), torch.randn(40, 9)
    expected = filled.double() + a.double() @ b.double()
    torch.testing.assert_close(accumulate_(filled, a, b).double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_gradient_is_scaled_into_its_leafs_dtype_at_once(dtype):
    grad, upstream = torch.randn(50, 16), torch.tensor(0.25)
    assert torch.equal(scaled(grad, upstream, dtype), (grad * upstream).to(dtype))
    grad, upstream = grad.to(META), upstream.to(META)
    with Watch() as watch:
        scaled(grad, upstream, dtype)
    assert watch.made == [((50, 16), dtype)]
