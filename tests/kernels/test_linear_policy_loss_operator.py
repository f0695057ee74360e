"""`linear_policy_loss` as an operator: what compilers, autograd and PyTorch's own checks ask of it."""

import shutil
from dataclasses import replace

import pytest
import torch
from cogrl_kernels.forward_gradients import takes_gradient
from cogrl_kernels.linear_policy_loss import linear_policy_loss
from cogrl_kernels.linear_policy_op import linear_policy_loss_op
from cogrl_kernels.policy_arguments import flat, restored
from cogrl_kernels.policy_loss import PolicyLossConfig
from torch.utils.checkpoint import checkpoint

CONFIG = PolicyLossConfig(entropy_coef=0.1)
EVERYTHING = PolicyLossConfig("dapo", clip_low=0.1, kl_coef=0.1, entropy_coef=0.1, is_cap=2.0, n_routes=2)
CONFIGS = [CONFIG, EVERYTHING, PolicyLossConfig("dr_grpo", length=40), PolicyLossConfig("gspo", entropy_coef=0.1)]
EACH_CONFIG = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.kind)


def inputs(n=40, vocabulary=63, width=16, rollouts=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    hidden, weight = torch.randn(n, width, generator=g), torch.randn(vocabulary, width, generator=g) / 3
    targets, advantages = torch.randint(0, vocabulary, (n,), generator=g), torch.randn(rollouts, generator=g)
    cuts = torch.tensor([0, *range(3, 2 + rollouts), n])
    return hidden.requires_grad_(), weight.requires_grad_(), targets, advantages, cuts


def extras(config, n=40, rollouts=3):
    """What `config` asks for, and may use."""
    g = torch.Generator().manual_seed(1)
    given = {"old_logprobs": torch.randn(n, generator=g) - 4, "ref_logprobs": torch.randn(n, generator=g) - 4}
    given |= {"rollout_logprobs": given["old_logprobs"] + 0.3} if config.is_cap else {}
    given |= {"mask": torch.rand(n, generator=g) < 0.8, "routes": torch.arange(rollouts) % config.n_routes}
    return given


def everything(out, *leaves):
    values = out.loss.detach(), out.metrics.table, out.logprobs, out.entropy
    return *values, *torch.autograd.grad(3.7 * out.loss, leaves)


def assert_same(found, expected):
    """Up to rounding: a graph and the calls it was made of need not agree in the last bit."""
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("wanted", [(True, True, True), (True, False, False), (False, True, False)])
@pytest.mark.parametrize(("trains", "autocast"), [(None, None), (torch.arange(7) != 3, torch.bfloat16)])
@pytest.mark.parametrize("config", [replace(CONFIG, is_cap=2.0), EVERYTHING], ids=lambda c: c.kind)
def test_opcheck(config, wanted, trains, autocast):
    hidden, weight, targets, advantages, cuts = inputs(n=7, vocabulary=11, width=4, rollouts=2)
    leaves = [
        x.detach().requires_grad_(want) for x, want in zip((hidden, weight, torch.zeros(11)), wanted, strict=True)
    ]
    given = extras(config, 7, 2)
    head = targets, torch.tensor([0, 1, 1, 5, 6, 6, 2]), torch.full((7,), 0.7), 3.0, None, 0, 11
    against = [given.get(name) for name in ("old_logprobs", "ref_logprobs", "rollout_logprobs", "mask", "routes")]
    policy = advantages, cuts, *against, trains, *flat(config, torch.tensor(5.0))
    torch.library.opcheck(
        linear_policy_loss_op, (*leaves, *head, *policy, autocast, "chunked", takes_gradient(*leaves))
    )


@pytest.mark.parametrize("dynamic", [False, True])
@EACH_CONFIG
def test_one_graph_equals_eager(config, dynamic):
    hidden, weight, *rest = inputs()
    bias = torch.randn(63, generator=torch.Generator().manual_seed(2)).requires_grad_()
    rows = torch.arange(40) // 2

    def function(h, w, b, rest, given):
        return linear_policy_loss(h * 2, w, *rest, config=config, rows=rows, bias=b, softcap=6.0, **given)

    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    leaves, given = (hidden, weight, bias), extras(config)
    found, expected = (everything(f(*leaves, rest, given), *leaves) for f in (compiled, function))
    assert_same(found, expected)
    assert not any(x.requires_grad for x in found)


def test_other_sizes_and_other_settings_in_tensors_compile_nothing():
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    def function(h, w, rest, tau, count):
        config = PolicyLossConfig(tau_pos=tau, tau_neg=tau * 1.05)
        return linear_policy_loss(h, w, *rest, config=config, temperature=tau, num_rollouts=count)

    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, backend=backend, dynamic=True)
    for n, vocabulary, rollouts in ((40, 63, 3), (301, 70, 4), (31, 99, 7)):
        hidden, weight, *rest = inputs(n, vocabulary, 16, rollouts)
        settings = torch.tensor(1 + 1 / n), torch.tensor(n)
        calls = (f(hidden, weight, rest, *settings) for f in (compiled, function))
        found, expected = (everything(out, hidden, weight) for out in calls)
        assert_same(found, expected)
    assert len(graphs) == 1


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_what_is_frozen_makes_no_gradient_inside_a_graph_either(frozen):
    hidden, weight, *rest = inputs()
    leaves = [hidden, weight, torch.zeros(63, requires_grad=True)]
    leaves[frozen] = leaves[frozen].detach()
    operators = []

    def backend(graph, _):
        operators.extend(node for node in graph.graph.nodes if "linear_policy_loss" in str(node.target))
        return graph.forward

    torch._dynamo.reset()
    function = lambda h, w, b: linear_policy_loss(h, w, *rest, config=CONFIG, bias=b)
    out = torch.compile(function, fullgraph=True, backend=backend)(*leaves)
    trained = [x for x in leaves if x.requires_grad]
    assert_same(everything(out, *trained), everything(function(*leaves), *trained))
    assert [node.args[-1] for node in operators] == [[i != frozen for i in range(3)]]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor needs a C++ compiler")
def test_one_graph_equals_eager_when_inductor_makes_the_code():
    hidden, weight, *rest = inputs()
    function = lambda h, w: linear_policy_loss(h * 2, w, *rest, config=CONFIG)
    torch._dynamo.reset()
    out = torch.compile(function, fullgraph=True)(hidden, weight)
    torch.testing.assert_close(
        everything(out, hidden, weight), everything(function(hidden, weight), hidden, weight), equal_nan=True
    )


def test_the_graph_can_be_used_twice_and_not_differentiated_twice():
    hidden, weight, *rest = inputs()
    out = linear_policy_loss(hidden, weight, *rest, config=CONFIG)
    once = torch.autograd.grad(out.loss, (hidden, weight), retain_graph=True)
    repeated = torch.autograd.grad(3.7 * out.loss, (hidden, weight))
    for a, b in zip(once, repeated, strict=True):
        torch.testing.assert_close(3.7 * a, b)
    out = linear_policy_loss(hidden, weight, *rest, config=CONFIG)
    slope = torch.autograd.grad((2 * out.loss).square(), hidden, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_a_loss_that_nothing_depends_on_has_no_gradient():
    class Ignore(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, upstream):
            return None

    hidden, weight, *rest = inputs()
    Ignore.apply(linear_policy_loss(hidden, weight, *rest, config=CONFIG).loss).backward()
    assert hidden.grad is None and weight.grad is None


def test_backward_makes_no_tensor_but_the_gradients():
    hidden, weight, *rest = inputs(vocabulary=1000)
    loss = linear_policy_loss(hidden, weight, *rest, config=CONFIG).loss
    made = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            made.append(out)
            return out

    with Watch():
        torch.autograd.grad(loss, (hidden, weight))
    assert sum(x.shape == weight.shape and not x._is_view() for x in made) == 1


def test_a_checkpointed_call_gives_the_same_gradients():
    hidden, weight, *rest = inputs()
    function = lambda h: linear_policy_loss(h.tanh(), weight, *rest, config=CONFIG).loss
    repeated = checkpoint(function, hidden, use_reentrant=False)
    assert_same(*(torch.autograd.grad(x, (hidden, weight)) for x in (repeated, function(hidden))))


def test_inference_mode_scores():
    hidden, weight, *rest = inputs()
    with torch.inference_mode():
        scored = linear_policy_loss(hidden, weight, *rest, config=CONFIG)
    assert_same(scored.loss, linear_policy_loss(hidden, weight, *rest, config=CONFIG).loss.detach())


@pytest.mark.parametrize("count", [None, 0, 7, 2.5, torch.tensor(3)])
@pytest.mark.parametrize("taus", [{}, {"tau_pos": 0.3}, {"tau_pos": torch.tensor(0.3), "tau_neg": torch.ones(3)}])
def test_settings_survive_the_way_into_the_operator(count, taus):
    for config in (PolicyLossConfig(**taus, is_cap=float("inf")), *CONFIGS):
        repeated, number = restored(*flat(config, count))
        assert repeated == replace(config, reduction=config.denominator) and number == count


@pytest.mark.parametrize("name", ["kl_coef", "entropy_coef"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_coefficient_that_is_no_number_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}={value} must be finite"):
        PolicyLossConfig(**{name: value})
