"""On a GPU an update waits for nothing, and the gradient of the head is held once. Skipped without one."""

import pytest
import torch
from cogrl_kernels.linear_policy_loss import linear_policy_loss
from cogrl_kernels.policy_config import PolicyLossConfig
from cogrl_kernels.prefix import prefix_attention, prefix_plan

DEVICE = "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
LENGTHS = (401, 0, 63, 1, 806)
N = sum(LENGTHS)
CONFIGS = {
    "sapo": {"tau_pos": 1.5},
    "kl": {"kind": "grpo", "kl_coef": 0.1},
    "everything": {"kind": "dapo", "kl_coef": 0.1, "entropy_coef": 0.01, "is_cap": 2.0},
    "cispo": {"kind": "cispo"},
}


def problem(config, width=256, vocabulary=5000, dtype=torch.bfloat16):
    torch.manual_seed(0)
    advantages = torch.linspace(-1, 1, len(LENGTHS))
    advantages[2] = 0.0
    hidden, weight = (torch.randn(n, width, device=DEVICE, dtype=dtype) / 4 for n in (N, vocabulary))
    given = {"old_logprobs": torch.full((N,), -8.0, device=DEVICE)}
    if config.kl_coef:
        given["ref_logprobs"] = torch.full((N,), -8.5, device=DEVICE)
    if config.is_cap is not None:
        given["rollout_logprobs"] = torch.full((N,), -8.1, device=DEVICE)
    penalised = bool(config.kl_coef or config.entropy_coef)
    return given | {
        "hidden": hidden.requires_grad_(),
        "weight": weight.requires_grad_(),
        "targets": torch.randint(0, vocabulary, (N,), device=DEVICE),
        "advantages": advantages.to(DEVICE),
        "cu_seqlens": torch.tensor([0, *LENGTHS]).cumsum(0).to(DEVICE),
        "trains": ((advantages != 0) | penalised).repeat_interleave(torch.tensor(LENGTHS)),
    }


def without_waiting(run):
    """What `run` returns the second time: the first one compiles."""
    run()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        return run()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("impl", ["chunked", "triton"])
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("autocast", [False, True])
def test_loss_and_gradients_wait_for_nothing(name, impl, autocast):
    config = PolicyLossConfig(**CONFIGS[name])
    given = problem(config, dtype=torch.float32 if autocast else torch.bfloat16)

    def update():
        with torch.autocast(DEVICE, torch.bfloat16, enabled=autocast):
            out = linear_policy_loss(**given, config=config, impl=impl)
        return out.loss, *torch.autograd.grad(out.loss, (given["hidden"], given["weight"]))

    found = without_waiting(update)
    assert all(x.isfinite().all() for x in found) and found[1].any()


@pytest.mark.parametrize("lengths", [(3, 50, 1, 7), (40, 40, 40, 40)])
def test_a_plan_and_its_attention_wait_for_nothing(lengths):
    def attend():
        plan = prefix_plan(torch.tensor([60, 90]), torch.tensor(lengths), 2, device=DEVICE)
        query, key = (torch.randn(1, heads, len(plan.source), 64, device=DEVICE) for heads in (4, 2))
        return prefix_attention(query, key, key, plan, impl="sdpa")

    assert without_waiting(attend).isfinite().all()


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_float32_weights_under_autocast_are_multiplied_as_half_precision_ones(half):
    config = PolicyLossConfig("grpo", kl_coef=0.1)
    given = problem(config, dtype=torch.float32)
    with torch.autocast(DEVICE, half):
        mixed = linear_policy_loss(**given, config=config)
    grads = torch.autograd.grad(mixed.loss, (given["hidden"], given["weight"]))
    rounded = given | {name: given[name].detach().to(half).double().requires_grad_() for name in ("hidden", "weight")}
    exact = linear_policy_loss(**rounded, config=config, impl="reference")
    truth = torch.autograd.grad(exact.loss, (rounded["hidden"], rounded["weight"]))
    assert (mixed.logprobs - exact.logprobs).abs().max() < 2e-5
    for grad, true in zip(grads, truth, strict=True):
        assert grad.dtype == torch.float32 and (grad - true).norm() < 5e-3 * true.norm()


def test_the_gradient_of_a_half_precision_head_is_accumulated_in_one_float32_tensor():
    config = PolicyLossConfig("grpo")
    given = problem(config, width=4096, vocabulary=151936)
    linear_policy_loss(**given, config=config)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    out = linear_policy_loss(**given, config=config)
    gradient, logits = 4 * given["weight"].numel(), 6 * 151936 * 1280
    assert torch.cuda.max_memory_allocated() - before < 1.3 * (gradient + logits)
    assert out.loss.isfinite()
