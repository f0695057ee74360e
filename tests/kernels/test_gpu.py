"""The Triton kernels on a GPU, against float64 of the same rounded inputs. Skipped without one."""

from dataclasses import dataclass, field, replace

import pytest
import torch
from cogrl_kernels.linear_logprob import linear_logprob
from cogrl_kernels.linear_policy_loss import linear_policy_loss
from cogrl_kernels.policy_loss import PolicyLossConfig, policy_loss

DEVICE = "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
TOLERANCES = {torch.float32: (2e-5, 2e-5), torch.bfloat16: (2e-5, 5e-3), torch.float16: (2e-5, 1e-3)}
"""Of log-probabilities and entropies (absolute), of gradients (relative Frobenius norm)."""
DTYPES = pytest.mark.parametrize("dtype", TOLERANCES, ids=lambda dtype: str(dtype).removeprefix("torch."))
CONFIGS = {
    "sapo": PolicyLossConfig(tau_pos=0.3, tau_neg=12.0, kl_coef=0.1, entropy_coef=0.01),
    "grpo": PolicyLossConfig("grpo", kl_coef=0.1, kl_estimator="k1", is_cap=2.0),
    "dapo": PolicyLossConfig("dapo", entropy_coef=0.01),
    "dr_grpo": PolicyLossConfig("dr_grpo", length=64, kl_coef=0.1, kl_estimator="k2"),
    "gspo": PolicyLossConfig("gspo", is_cap=2.0),
    "cispo": PolicyLossConfig("cispo", is_cap=float("inf")),
    "reinforce": PolicyLossConfig("reinforce", entropy_coef=0.01),
}


def random(*shape, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


def relative(got, exact):
    return ((got.double() - exact).norm() / exact.norm().clamp(min=1e-30)).item()


def rollouts(config, lengths=(401, 0, 63, 1, 806), seed=0):
    """float64 on the CPU: log-ratios over [-2, 2] and some of +-199, a rollout without tokens, one all masked."""
    n, s = sum(lengths), len(lengths)
    old = -random(n, seed=seed).abs()
    log_ratio = torch.linspace(-2, 2, n, dtype=torch.float64)[torch.randperm(n)]
    log_ratio[::97], log_ratio[5::97] = 199.0, -199.0
    mask = torch.rand(n) < 0.8
    mask[lengths[0] : lengths[0] + lengths[2]] = False
    given = {
        "cu_seqlens": torch.tensor([0, *lengths]).cumsum(0),
        "advantages": random(s, seed=seed + 1),
        "old_logprobs": old,
        "mask": mask,
        "routes": torch.arange(s) % config.n_routes,
    }
    if config.kl_coef:
        given["ref_logprobs"] = old + random(n, seed=seed + 2, scale=0.3)
    if config.is_cap is not None:
        given["rollout_logprobs"] = old + random(n, seed=seed + 3, scale=0.3)
    return old + log_ratio, given


def on_device(given, dtype=torch.float32):
    return {
        name: value.to(DEVICE, dtype if value.is_floating_point() else value.dtype) for name, value in given.items()
    }


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_policy_loss_equals_float64(kind):
    torch.manual_seed(0)
    config = replace(CONFIGS[kind], n_routes=2)
    logprobs, given = rollouts(config)
    entropy = random(len(logprobs), seed=9).abs()
    found = []
    for impl, dtype in (("triton", torch.float32), ("reference", torch.float64)):
        # the truth is computed from what float32 holds
        single = {k: v.float().double() if v.is_floating_point() else v for k, v in given.items()}
        inputs = on_device(single, dtype)
        leaves = [x.float().to(DEVICE, dtype).requires_grad_() for x in (logprobs, entropy)]
        out = policy_loss(leaves[0], config=config, entropy=leaves[1], **inputs, impl=impl)
        grads = torch.autograd.grad(3.7 * out.loss, leaves, allow_unused=True)
        grads = [torch.zeros_like(x) if g is None else g for g, x in zip(grads, leaves, strict=True)]
        found.append((out.loss.detach().double(), *grads, out.metrics.table))
    (loss, *grads, table), (true_loss, *true_grads, true_table) = found
    assert abs(loss - true_loss) <= 1e-5 * max(abs(true_loss), 0.1)
    for got, exact in zip(grads, true_grads, strict=True):
        assert (got.double() - exact).norm() <= 1e-5 * exact.norm()
        assert (got[~given["mask"].to(DEVICE)] == 0).all()
    torch.testing.assert_close(table.double(), true_table.double(), rtol=1e-4, atol=1e-4, equal_nan=True)


def test_what_is_no_number_has_no_gradient_and_is_counted():
    config = PolicyLossConfig()
    logprobs, given = rollouts(config)
    given["mask"][:] = True
    logprobs[:3] = torch.tensor([float("nan"), float("inf"), -float("inf")])
    leaf = logprobs.float().to(DEVICE).requires_grad_()
    out = policy_loss(leaf, config=config, **on_device(given), impl="triton")
    out.loss.backward()
    assert out.loss.isfinite() and leaf.grad.isfinite().all()
    assert (leaf.grad[:3] == 0).all() and out.metrics["bad"] == 3


@dataclass
class Head:
    """float64 truth of a head and what the kernels get: the same numbers, rounded to `dtype` first."""

    dtype: torch.dtype
    rows: int = 63
    targets: int = 130
    width: int = 80
    vocab: int = 1271
    offset: float = 0.0
    softcap: float | None = None
    tensors: dict = field(default_factory=dict)

    def __post_init__(self):
        weight = random(self.vocab, self.width, seed=2) * 3 / self.width**0.5
        made = {"hidden": random(self.rows, self.width, seed=1), "weight": weight}
        made["bias"] = random(self.vocab, seed=3) + self.offset
        made["bias"][7] = -1e4  # a barred id
        self.tensors = {name: x.to(self.dtype).to(DEVICE) for name, x in made.items()}
        torch.manual_seed(0)
        self.picked = torch.randint(self.rows, (self.targets,)).to(DEVICE)
        ids = torch.randint(8, self.vocab, (self.targets,))
        ids[0], ids[1] = self.vocab - 1, 0
        self.ids = ids.to(DEVICE)
        self.temperature = torch.logspace(-0.5, 1.08, self.targets).to(DEVICE)

    def leaves(self, double=False):
        return [x.double() if double else x.clone() for x in self.tensors.values()]

    def truth(self, hidden, weight, bias):
        z = hidden @ weight.T + bias
        z = z if self.softcap is None else self.softcap * torch.tanh(z / self.softcap)
        logp = torch.log_softmax(z[self.picked] / self.temperature.double()[:, None], -1)
        return logp.gather(1, self.ids[:, None]).squeeze(1), -(logp.exp() * logp).sum(-1)

    def score(self, hidden, weight, bias, impl="triton"):
        return linear_logprob(
            hidden,
            weight,
            self.ids,
            rows=self.picked,
            bias=bias,
            temperature=self.temperature,
            softcap=self.softcap,
            impl=impl,
        )


def assert_scores(head, limit):
    with torch.no_grad():
        found = head.score(*head.leaves())
    for got, exact in zip((found.logprobs, found.entropy), head.truth(*head.leaves(double=True)), strict=True):
        assert got.dtype == torch.float32 and got.isfinite().all()
        assert (got.double() - exact).abs().max() <= limit
    assert (found.logprobs <= 0).all() and (found.entropy >= 0).all()
    assert (found.entropy <= torch.tensor(float(head.vocab)).log() + limit).all()


@DTYPES
@pytest.mark.parametrize("softcap", [None, 5.0])
@pytest.mark.parametrize("width, vocab", [(80, 1271), (33, 401), (64, 4096), (8, 63)])
def test_scoring_equals_float64(dtype, softcap, width, vocab):
    assert_scores(Head(dtype, width=width, vocab=vocab, softcap=softcap), TOLERANCES[dtype][0])


@pytest.mark.parametrize("offset", [300.0, -300.0, -120.0])
def test_logits_far_from_zero_stay_finite(offset):
    assert_scores(Head(torch.float32, offset=offset), 1e-3)


@DTYPES
@pytest.mark.parametrize("softcap", [None, 5.0])
@pytest.mark.parametrize("trained", ["all", "hidden", "weight"])
def test_gradients_of_log_probabilities_and_entropies_equal_float64(dtype, softcap, trained):
    head = Head(dtype, softcap=softcap)
    upstream = [random(head.targets, seed=s, scale=3.7).float().to(DEVICE) for s in (4, 5)]
    grads = {}
    for name, double in (("ours", False), ("truth", True)):
        leaves = head.leaves(double)
        chosen = [x.requires_grad_() for key, x in zip(head.tensors, leaves, strict=True) if trained in ("all", key)]
        if double:
            logprobs, entropy = head.truth(*leaves)
        else:
            out = head.score(*leaves)
            logprobs, entropy = out.logprobs, out.entropy
        loss = (logprobs * upstream[0]).sum() + (entropy * upstream[1]).sum()
        grads[name] = torch.autograd.grad(loss, chosen)
    for got, exact in zip(grads["ours"], grads["truth"], strict=True):
        assert got.dtype == dtype and relative(got, exact) <= TOLERANCES[dtype][1]


@DTYPES
@pytest.mark.parametrize("kind", ["sapo", "grpo", "gspo"])
@pytest.mark.parametrize("frozen", [False, True])
def test_the_pass_from_hidden_states_to_the_loss_equals_float64(dtype, kind, frozen):
    head = Head(dtype)
    config = replace(CONFIGS[kind], n_routes=2)
    with torch.no_grad():
        now, _ = head.truth(*head.leaves(double=True))
    lengths = (50, 0, 30, 1, 49)
    _, given = rollouts(config, lengths)
    given["old_logprobs"] = now.cpu() - torch.linspace(-2, 2, head.targets, dtype=torch.float64)
    given["advantages"][3] = 0.0
    given = {name: x.float().double() if x.is_floating_point() else x for name, x in given.items()}
    for name in set(given) & {"ref_logprobs", "rollout_logprobs"}:
        given[name] = given["old_logprobs"] + 0.25
    found = {}
    for name, double in (("ours", False), ("truth", True)):
        hidden, weight, bias = head.leaves(double)
        leaves = [x.requires_grad_() for x in ([hidden] if frozen else [hidden, weight, bias])]
        if double:
            logprobs, entropy = head.truth(hidden, weight, bias)
            inputs = on_device(given, torch.float64)
            loss = policy_loss(logprobs, config=config, entropy=entropy, **inputs, impl="reference").loss
        else:
            loss = linear_policy_loss(
                hidden,
                weight,
                head.ids,
                **on_device(given),
                config=config,
                rows=head.picked,
                bias=bias,
                temperature=head.temperature,
                impl="triton",
            ).loss
        found[name] = (loss.detach().double(), torch.autograd.grad(3.7 * loss, leaves))
    (loss, grads), (true_loss, true_grads) = found["ours"], found["truth"]
    value, limit = TOLERANCES[dtype]
    assert abs(loss - true_loss) <= max(value, 1e-5) * max(abs(true_loss), 0.1)
    assert [relative(g, t) for g, t in zip(grads, true_grads, strict=True) if relative(g, t) > limit] == []


def test_scores_are_the_same_bits_again_and_in_another_order():
    head = Head(torch.bfloat16, rows=700, targets=700, width=256, vocab=5000)
    with torch.no_grad():
        first, repeated = head.score(*head.leaves()), head.score(*head.leaves())
        order = torch.randperm(700).to(DEVICE)
        moved = Head(torch.bfloat16, rows=700, targets=700, width=256, vocab=5000)
        moved.picked, moved.ids, moved.temperature = (x[order] for x in (head.picked, head.ids, head.temperature))
        other = moved.score(*head.leaves())
    assert torch.equal(first.logprobs, repeated.logprobs) and torch.equal(first.entropy, repeated.entropy)
    assert torch.equal(first.logprobs[order], other.logprobs)


def test_scoring_holds_no_logits():
    head = Head(torch.bfloat16, rows=2048, targets=2048, width=512, vocab=151936)
    with torch.no_grad():
        leaves = head.leaves()
        head.score(*leaves)
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        head.score(*leaves)
        extra = torch.cuda.max_memory_allocated() - before
    assert extra < 2048 * 151936 * 4 / 20


def test_a_compiled_graph_gives_what_eager_gives():
    head = Head(torch.bfloat16)

    def loss(hidden, weight, bias):
        out = head.score(hidden, weight, bias)
        return out.logprobs.mean() + out.entropy.mean()

    results = []
    for function in (loss, torch.compile(loss, fullgraph=True)):
        leaves = [x.requires_grad_() for x in head.leaves()]
        results.append(torch.autograd.grad(function(*leaves), leaves))
    for eager, compiled in zip(*results, strict=True):
        assert relative(compiled, eager.double()) <= 5e-3
