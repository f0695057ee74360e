"""The public operations of a head with impl="triton" against the same with "chunked", gradients included."""

import pytest
import torch
from cogrl_kernels.linear_logprob import linear_logprob
from cogrl_kernels.linear_policy_loss import linear_policy_loss
from cogrl_kernels.policy_loss import PolicyLossConfig


def inputs(dtype=torch.float32):
    g = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(30, 24, generator=g), torch.randn(300, 24, generator=g) / 3
    bias, targets = torch.randn(300, generator=g), torch.randint(0, 300, (70,), generator=g)
    options = {
        "rows": torch.randint(0, 30, (70,), generator=g),
        "temperature": 0.3 + 2 * torch.rand(70, generator=g),
        "softcap": 6.0,
    }
    return [x.to(dtype) for x in (hidden, weight, bias)], targets, options


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_linear_logprob_is_the_same_function(dtype):
    tensors, targets, options = inputs(dtype)
    results = []
    for impl in ("chunked", "triton"):
        hidden, weight, bias = leaves = [x.clone().requires_grad_() for x in tensors]
        out = linear_logprob(hidden, weight, targets, bias=bias, **options, impl=impl)
        upstream = torch.linspace(-1, 3.7, 70)
        grads = torch.autograd.grad((upstream * out.logprobs + upstream.flip(0) * out.entropy).sum(), leaves)
        results.append(([out.logprobs, out.entropy, out.lse, out.top1.float()], grads))
    (values, grads), (expected, expected_grads) = results[1], results[0]
    torch.testing.assert_close(values, expected, rtol=0, atol=2e-5)
    for got, true in zip(grads, expected_grads, strict=True):
        assert (got - true).norm() <= 1e-5 * true.norm() + (1e-3 * true.norm() if dtype != torch.float32 else 0)


@pytest.mark.parametrize("kind", ["sapo", "grpo", "gspo"])
@pytest.mark.parametrize("entropy_coef", [0.0, 0.1])
def test_linear_policy_loss_is_the_same_function(kind, entropy_coef):
    tensors, targets, options = inputs()
    config = PolicyLossConfig(kind, entropy_coef=entropy_coef)
    advantages, cuts = torch.tensor([1.0, 0.0, -2.0]), torch.tensor([0, 20, 40, 70])
    results = []
    for impl in ("chunked", "triton"):
        hidden, weight, bias = leaves = [x.clone().requires_grad_() for x in tensors]
        given = options | {"bias": bias, "old_logprobs": torch.full((70,), -5.0), "impl": impl}
        out = linear_policy_loss(hidden, weight, targets, advantages, cuts, config=config, **given)
        results.append((out, torch.autograd.grad(3.7 * out.loss, leaves)))
    (out, grads), (expected, expected_grads) = results[1], results[0]
    torch.testing.assert_close(out.loss, expected.loss, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(out.logprobs, expected.logprobs, rtol=0, atol=2e-5)
    torch.testing.assert_close(out.entropy, expected.entropy, rtol=0, atol=2e-5)
    for got, true in zip(grads, expected_grads, strict=True):
        assert (got - true).norm() <= 1e-5 * true.norm()


def test_float64_is_refused_and_computed_by_nobody_else():
    (hidden, weight, _), targets, options = inputs(torch.float64)
    with pytest.raises(ValueError, match="computes in float32"):
        linear_logprob(hidden, weight, targets, **options, impl="triton")
