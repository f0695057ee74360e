"""KL between two heads: float64 truth, both directions, and what must not move it."""

import pytest
import torch
from cogrl_kernels.linear_kl import linear_kl

M, V, D, E = 63, 401, 24, 17


def inputs(m=M, v=V, dtype=torch.float32, seed=0):
    g = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)
    student, weight = draw(m, D).requires_grad_(), draw(v, D).requires_grad_()
    return student, weight, draw(m, E), draw(v, E), torch.rand(m, generator=g, dtype=torch.float64).to(dtype)


def truth(student, weight, teacher, teacher_weight, weights, bias=None, temperature=1.0, direction="forward"):
    """Token by token in float64, from the definition."""
    s, w = student.detach().double().requires_grad_(), weight.detach().double().requires_grad_()
    total, kls = 0.0, []
    for i in range(len(s)):
        zs = torch.stack([(s[i] * row).sum() for row in w])
        zt = torch.stack([(teacher[i].double() * row).sum() for row in teacher_weight.double()])
        if bias is not None:
            zs, zt = zs + bias.double(), zt + bias.double()
        q, p = (zs / temperature).softmax(0), (zt / temperature).softmax(0)
        if direction == "reverse":
            q, p = p, q
        kl = (p * (p.log() - q.log())).sum()
        kls.append(kl.item())
        total = total + weights[i].double() * kl
    total.backward()
    return total.item(), torch.tensor(kls, dtype=torch.float64), s.grad, w.grad


@pytest.mark.parametrize("impl", ["chunked", "reference"])
@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("temperature", [1.0, 2.0, 0.3])
def test_value_and_gradients_are_those_of_the_definition(impl, direction, temperature):
    args = inputs(m=9, v=41)
    bias = torch.randn(41, generator=torch.Generator().manual_seed(1))
    out = linear_kl(*args, bias=bias, temperature=temperature, direction=direction, impl=impl)
    (3.7 * out.loss).backward()
    total, kls, grad_student, grad_weight = truth(*args, bias, temperature, direction)
    assert out.loss.item() == pytest.approx(total, rel=1e-5)
    assert (out.kl - kls).abs().max() < 1e-5 * kls.max()
    for ours, expected in ((args[0].grad, grad_student), (args[1].grad, grad_weight)):
        assert (ours - 3.7 * expected).norm() < 2e-5 * (3.7 * expected).norm()


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_chunks_are_the_reference(direction, monkeypatch):
    monkeypatch.setattr("cogrl_kernels.linear_kl.training_rows", lambda *_: 16)
    results = []
    for impl in ("chunked", "reference"):
        args = inputs(dtype=torch.float64)
        out = linear_kl(*args, direction=direction, temperature=2.0, impl=impl)
        out.loss.backward()
        results.append((out.loss.detach(), out.kl, args[0].grad, args[1].grad))
    for ours, expected in zip(*results, strict=True):
        assert torch.allclose(ours, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_equal_distributions_have_no_divergence_and_no_gradient(direction):
    student, weight, _, _, weights = inputs()
    out = linear_kl(student, weight, student.detach(), weight.detach(), weights, direction=direction)
    out.loss.backward()
    assert out.kl.abs().max() < 1e-5
    assert student.grad.abs().max() < 1e-5 and weight.grad.abs().max() < 1e-4


def test_the_directions_differ_and_neither_is_negative():
    args = inputs()
    forward, reverse = (linear_kl(*args, direction=d).kl for d in ("forward", "reverse"))
    assert (forward > 0).all() and (reverse > 0).all() and (forward - reverse).abs().max() > 0.1


def test_tokens_of_weight_zero_have_no_gradient_and_the_teacher_never():
    student, weight, teacher, teacher_weight, weights = inputs()
    teacher.requires_grad_(), teacher_weight.requires_grad_()
    weights[::2] = 0.0
    linear_kl(student, weight, teacher, teacher_weight, weights).loss.backward()
    assert (student.grad[::2] == 0).all() and (student.grad[1::2] != 0).any(1).all()
    assert teacher.grad is None and teacher_weight.grad is None


def test_a_frozen_head_takes_no_gradient():
    student, weight, *rest = inputs()
    linear_kl(student, weight.detach(), *rest).loss.backward()
    assert weight.grad is None and student.grad.abs().sum() > 0


def test_a_barred_token_counts_for_neither_side():
    args = inputs()
    bias = torch.zeros(V)
    bias[7] = -1e4
    with_bar = linear_kl(*args, bias=bias).kl
    student, weight, teacher, teacher_weight, weights = args
    keep = torch.arange(V) != 7
    without = linear_kl(student, weight[keep], teacher, teacher_weight[keep], weights).kl
    assert torch.allclose(with_bar, without, atol=1e-5)


def test_no_token_is_a_zero_that_touches_the_parameters():
    student, weight, *_ = inputs()
    out = linear_kl(student[:0], weight, torch.zeros(0, E), torch.zeros(V, E), torch.zeros(0))
    out.loss.backward()
    assert out.loss == 0 and (weight.grad == 0).all()


def test_gradcheck():
    student, weight, teacher, teacher_weight, weights = inputs(m=3, v=5, dtype=torch.float64)
    for direction in ("forward", "reverse"):
        assert torch.autograd.gradcheck(
            lambda s, w, d=direction: linear_kl(s, w, teacher, teacher_weight, weights, direction=d).loss,
            (student, weight),
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher": torch.zeros(M - 1, E)}, "teacher states"),
        ({"weights": torch.zeros(M, 1)}, "weights"),
        ({"teacher_weight": torch.zeros(V + 1, E)}, "need the same"),
        ({"weight": torch.zeros(V, D + 1)}, "its head"),
        ({"bias": torch.zeros(V + 1)}, "bias"),
        ({"temperature": 0.0}, "temperature"),
        ({"direction": "both"}, "direction='both'"),
        ({"impl": "triton"}, "no Triton kernel"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    names = ("student", "weight", "teacher", "teacher_weight", "weights")
    given = dict(zip(names, inputs(), strict=True)) | change
    with pytest.raises((ValueError, NotImplementedError), match=message):
        linear_kl(**given)
