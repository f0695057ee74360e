"""`linear_kl` as an operator: what compilers, autograd and PyTorch's own checks ask of it."""

import pytest
import torch
from cogrl_kernels import linear_kl as module
from cogrl_kernels.linear_kl import linear_kl, linear_kl_op

EACH_DIRECTION = pytest.mark.parametrize("direction", ["forward", "reverse"])


def inputs(m=9, v=41, seed=0):
    g = torch.Generator().manual_seed(seed)
    student, weight = (torch.randn(size, 6, generator=g).requires_grad_() for size in (m, v))
    return student, weight, torch.randn(m, 4, generator=g), torch.randn(v, 4, generator=g), torch.rand(m, generator=g)


def everything(out, *leaves):
    return out.loss.detach(), out.kl, *torch.autograd.grad(3.7 * out.loss, leaves)


def assert_same(found, expected):
    """Up to rounding: a graph and the calls it was made of need not agree in the last bit."""
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("autocast", [None, torch.bfloat16])
@pytest.mark.parametrize("wanted", [[True, True], [True, False], [False, True]])
@EACH_DIRECTION
def test_opcheck(direction, wanted, autocast):
    student, weight, *rest = inputs()
    leaves = [x.detach().requires_grad_(want) for x, want in zip((student, weight), wanted, strict=True)]
    torch.library.opcheck(linear_kl_op, (*leaves, *rest, torch.randn(41), 0.7, direction, autocast, wanted))


@pytest.mark.parametrize("impl", ["chunked", "reference"])
@EACH_DIRECTION
def test_one_graph_equals_eager_at_every_size(direction, impl):
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    def function(student, weight, *rest):
        return linear_kl(student * 2, weight, *rest, temperature=0.7, direction=direction, impl=impl)

    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, backend=backend, dynamic=True)
    for m, v in ((9, 41), (300, 17), (5, 63)):
        args = inputs(m, v)
        found, expected = (everything(f(*args), *args[:2]) for f in (compiled, function))
        assert_same(found, expected)
        assert not any(x.requires_grad for x in found)
    assert len(graphs) == 1


@EACH_DIRECTION
def test_a_static_graph_traced_for_its_backward_equals_eager(direction):
    args, function = inputs(), lambda s, w, *rest: linear_kl(s * 2, w, *rest, direction=direction)
    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager", dynamic=False)
    assert_same(*(everything(f(*args), *args[:2]) for f in (compiled, function)))


@pytest.mark.parametrize("frozen", [0, 1])
def test_what_is_frozen_costs_no_product_and_changes_no_other_gradient(monkeypatch, frozen):
    leaves, rest = list(inputs()[:2]), inputs()[2:]
    expected = torch.autograd.grad(linear_kl(*leaves, *rest).loss, leaves)[1 - frozen]
    leaves[frozen] = leaves[frozen].detach()
    made = {"accumulate_": 0, "product": 0}
    for name, function in {name: getattr(module, name) for name in made}.items():

        def counted(*args, name=name, function=function):
            made[name] += 1
            return function(*args)

        monkeypatch.setattr(module, name, counted)
    loss = linear_kl(*leaves, *rest).loss
    assert made == {"accumulate_": int(frozen == 0), "product": int(frozen == 1)}
    assert_same(torch.autograd.grad(loss, leaves[1 - frozen])[0], expected)


def test_without_gradients_it_only_measures(monkeypatch):
    args = inputs()
    trained = linear_kl(*args)
    monkeypatch.setattr(module, "product", None)
    monkeypatch.setattr(module, "accumulate_", None)
    with torch.no_grad():
        measured = linear_kl(*args)
    assert_same((measured.kl, measured.loss), (trained.kl, trained.loss.detach()))
    assert trained.loss.requires_grad and not measured.loss.requires_grad and not trained.kl.requires_grad


def test_the_graph_can_be_used_twice_and_not_differentiated_twice():
    student, *rest = inputs()
    out = linear_kl(student, *rest)
    once = torch.autograd.grad(out.loss, student, retain_graph=True)[0]
    torch.testing.assert_close(torch.autograd.grad(3.7 * out.loss, student)[0], 3.7 * once)
    slope = torch.autograd.grad(linear_kl(student, *rest).loss.square(), student, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
