"""One pass from hidden states to the gradient, against float64 over logits, however tokens are split or masked out."""

from dataclasses import replace

import pytest
import torch
from cogrl_kernels import linear_policy_pass as module
from cogrl_kernels.head_chunks import CHUNK_ROWS
from cogrl_kernels.linear_policy_loss import linear_policy_loss
from cogrl_kernels.policy_loss import PolicyLossConfig, policy_loss

KINDS = [
    PolicyLossConfig("sapo"),
    PolicyLossConfig("sapo", tau_pos=0.3, tau_neg=12.0, entropy_coef=0.05),
    PolicyLossConfig("grpo", kl_coef=0.1),
    PolicyLossConfig("dapo", is_cap=1.5),
    PolicyLossConfig("dr_grpo", length=100, entropy_coef=0.05, kl_coef=0.1, kl_estimator="k2"),
    PolicyLossConfig("gspo", is_cap=1.5, entropy_coef=0.05),
    PolicyLossConfig("cispo", entropy_coef=0.05),
    PolicyLossConfig("reinforce", kl_coef=0.1, kl_estimator="k1"),
]
EACH_KIND = pytest.mark.parametrize("config", KINDS, ids=lambda c: c.kind)
IMPLS = pytest.mark.parametrize("impl", ["reference", "chunked"])
LENGTHS = (63, 0, CHUNK_ROWS, 1, 81)


class Problem:
    """Five rollouts (one empty, one of zero advantage), repeated hidden rows, a policy near its old self."""

    def __init__(self, vocabulary=401, width=24, dtype=torch.float32, seed=0):
        g = torch.Generator().manual_seed(seed)
        n = sum(LENGTHS)
        self.hidden = torch.randn(300, width, generator=g).to(dtype)
        self.weight = (torch.randn(vocabulary, width, generator=g) * 1.5 / width**0.5).to(dtype)
        self.bias = torch.randn(vocabulary, generator=g).to(dtype)
        self.targets = torch.randint(0, vocabulary, (n,), generator=g)
        self.targets[0] = vocabulary - 1
        self.rows = torch.randint(0, 300, (n,), generator=g)
        self.advantages = torch.tensor([1.5, 1.0, -0.7, 0.0, -2.0])
        self.cu_seqlens = torch.tensor([0, *LENGTHS]).cumsum(0)
        self.head = {"temperature": 0.7, "softcap": 6.0}
        now = self.oracle_logprobs(*(x.double() for x in (self.hidden, self.weight, self.bias)))[0]
        around = [now + torch.randn(n, generator=g).double() * s for s in (0.7, 0.3, 0.7)]
        self.given = dict(zip(("old_logprobs", "ref_logprobs", "rollout_logprobs"), around, strict=True))
        self.given |= {"mask": torch.rand(n, generator=g) < 0.9, "routes": torch.tensor([0, 1, 1, 0, 0])}

    def oracle_logprobs(self, hidden, weight, bias):
        z = 6.0 * torch.tanh((hidden @ weight.T + bias)[self.rows] / 6.0) / 0.7
        p = z.exp() / z.exp().sum(1, keepdim=True)
        return p[torch.arange(len(z)), self.targets].log(), -(p * p.log()).sum(1)

    def inputs_of(self, config):
        """What this config asks for."""
        used = {"rollout_logprobs": config.is_cap is not None, "routes": config.n_routes > 1}
        return {name: x for name, x in self.given.items() if used.get(name, True)}

    def leaves(self, dtype=None):
        tensors = self.hidden, self.weight, self.bias
        return [x.to(x.dtype if dtype is None else dtype).clone().requires_grad_() for x in tensors]

    def truth(self, config, **changes):
        """float64: logits, probabilities, policy_loss, autograd; with the upstream gradient 3.7."""
        leaves = self.leaves(torch.float64)
        logprobs, entropy = self.oracle_logprobs(*leaves)
        given = self.inputs_of(config) | changes
        out = policy_loss(
            logprobs, self.advantages, self.cu_seqlens, config=config, entropy=entropy, **given, impl="reference"
        )
        return out, logprobs, entropy, torch.autograd.grad(3.7 * out.loss, leaves)

    def run(self, config, impl="chunked", leaves=None, **changes):
        hidden, weight, bias = self.leaves() if leaves is None else leaves
        given = self.head | self.inputs_of(config) | {"rows": self.rows, "bias": bias} | changes
        positional = [given.pop(name, getattr(self, name)) for name in ("targets", "advantages", "cu_seqlens")]
        return linear_policy_loss(hidden, weight, *positional, config=config, **given, impl=impl)


def trained(problem, config, impl="chunked", **changes):
    leaves = problem.leaves()
    out = problem.run(config, impl, leaves, **changes)
    (3.7 * out.loss).backward()
    return out, [x.grad for x in leaves]


def relative(got, expected):
    return ((got.double() - expected).norm() / expected.norm().clamp(min=1e-30)).item()


@IMPLS
@EACH_KIND
def test_loss_values_gradients_and_metrics_equal_float64(config, impl):
    problem = Problem()
    config = replace(config, n_routes=2)
    expected, logprobs, entropy, truth = problem.truth(config)
    out, grads = trained(problem, config, impl)
    assert abs(out.loss - expected.loss) <= 1e-5 * max(abs(expected.loss), 0.1)
    torch.testing.assert_close(out.logprobs.double(), logprobs, rtol=0, atol=2e-5)
    torch.testing.assert_close(out.entropy.double(), entropy, rtol=0, atol=2e-5)
    for got, true in zip(grads, truth, strict=True):
        assert relative(got, true) < 1e-5
    assert not out.logprobs.requires_grad and not out.entropy.requires_grad
    assert set(out.metrics) == set(expected.metrics)
    for name, value in expected.metrics.items():
        torch.testing.assert_close(out.metrics[name].double(), value.double(), rtol=1e-4, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("vocabulary, width", [(1, 3), (63, 5), (1271, 17), (2500, 8)])
def test_odd_sizes_in_float64_agree_to_the_last_digits(vocabulary, width):
    problem, config = Problem(vocabulary, width, torch.float64), PolicyLossConfig(entropy_coef=0.1, kl_coef=0.1)
    expected, _, _, truth = problem.truth(config)
    out, grads = trained(problem, config)
    torch.testing.assert_close(out.loss, expected.loss, rtol=1e-11, atol=1e-13)
    for got, true in zip(grads, truth, strict=True):
        torch.testing.assert_close(got, true, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype, limit", [(torch.bfloat16, 5e-3), (torch.float16, 1e-3)])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_inputs_have_float32_logits(dtype, limit, autocast):
    problem, config = Problem(dtype=dtype), PolicyLossConfig(entropy_coef=0.05)
    expected, logprobs, _, truth = problem.truth(config)
    with torch.autocast("cpu", dtype, enabled=autocast):
        out, grads = trained(problem, config)
    torch.testing.assert_close(out.logprobs.double(), logprobs, rtol=0, atol=2e-5)
    assert abs(out.loss - expected.loss) < 1e-5
    assert all(g.dtype == dtype and relative(g, t) < limit for g, t in zip(grads, truth, strict=True))


@EACH_KIND
def test_a_split_with_global_counts_sums_to_the_whole_batch(config):
    problem = Problem()
    counts = {"num_tokens": int(problem.given["mask"].sum()), "num_rollouts": len(LENGTHS)}
    whole, grads = trained(problem, config, **counts)
    total, summed = 0.0, [torch.zeros_like(g) for g in grads]
    for first, last in ((0, 2), (2, 5)):
        a, b = problem.cu_seqlens[first], problem.cu_seqlens[last]
        part = {name: x[a:b] for name, x in problem.inputs_of(config).items()}
        part |= {"targets": problem.targets[a:b], "rows": problem.rows[a:b]} | counts
        part |= {
            "advantages": problem.advantages[first:last],
            "cu_seqlens": problem.cu_seqlens[first : last + 1] - problem.cu_seqlens[first],
        }
        out, some = trained(problem, config, **part)
        total += out.loss.detach()
        summed = [x + y for x, y in zip(summed, some, strict=True)]
    torch.testing.assert_close(total, whole.loss.detach(), rtol=1e-5, atol=1e-6)
    assert all(relative(x, y.double()) < 1e-5 for x, y in zip(summed, grads, strict=True))


@pytest.mark.parametrize("size", [3, 128, 1000])
def test_the_size_of_a_chunk_changes_nothing(monkeypatch, size):
    problem, config = Problem(), PolicyLossConfig(entropy_coef=0.1)
    expected, grads = trained(problem, config)
    monkeypatch.setattr(module, "training_rows", lambda vocabulary, on_gpu: size)
    out, repeated = trained(problem, config)
    torch.testing.assert_close(out.loss, expected.loss)
    assert all(relative(x, y.double()) < 1e-5 for x, y in zip(repeated, grads, strict=True))


@pytest.mark.parametrize("kept", [None, "kl", "entropy"])
def test_rollouts_of_zero_advantage_cost_products_only_where_a_term_needs_them(monkeypatch, kept):
    settings = {"kl": {"kl_coef": 0.1}, "entropy": {"entropy_coef": 0.1}}.get(kept, {})
    problem, config = Problem(), PolicyLossConfig(**settings)
    problem.advantages = torch.tensor([1.0, 1.0, 0.0, 0.0, -1.0])
    seen = []
    honest = module.accumulate_
    monkeypatch.setattr(module, "accumulate_", lambda total, a, b: seen.append(len(b)) or honest(total, a, b))
    out, grads = trained(problem, config)
    trains = problem.given["mask"] & ((problem.advantages != 0) | bool(kept)).repeat_interleave(torch.tensor(LENGTHS))
    assert sum(seen) == trains.sum()
    expected, logprobs, _, truth = problem.truth(config)
    torch.testing.assert_close(out.logprobs.double(), logprobs, rtol=0, atol=2e-5)
    assert all(relative(g, t) < 1e-5 for g, t in zip(grads, truth, strict=True))
    assert out.metrics["tokens"] == expected.metrics["tokens"]


def test_without_any_signal_loss_and_gradients_are_zero_and_scores_are_there():
    problem, config = Problem(), PolicyLossConfig()
    out, grads = trained(problem, config, advantages=torch.zeros(5))
    assert out.loss == 0 and all((g == 0).all() for g in grads)
    assert (out.logprobs < 0).all() and (out.entropy > 0).all()
