"""Both implementations against a float64 computation from the same (rounded) inputs."""

import pytest
import torch
from cogrl_kernels import head_chunks
from cogrl_kernels import linear_logprob as module
from cogrl_kernels.head_chunks import CHUNK_COLUMNS, CHUNK_ROWS
from cogrl_kernels.linear_logprob import linear_logprob

IMPLS = pytest.mark.parametrize("impl", ["reference", "chunked"])
NAMES = ("hidden", "weight", "bias")


def inputs(rows=63, vocabulary=401, width=33, dtype=torch.float32, seed=0):
    g = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, width, generator=g).to(dtype)
    weight = (torch.randn(vocabulary, width, generator=g) * 2 / width**0.5).to(dtype)
    bias = torch.randn(vocabulary, generator=g).to(dtype)
    targets = torch.randint(0, vocabulary, (rows,), generator=g)
    targets[0], targets[-1] = vocabulary - 1, 0
    return hidden, weight, bias, targets


def oracle(hidden, weight, bias, targets, rows=None, temperature=1.0, softcap=None):
    """Written with explicit probabilities rather than log_softmax, in float64."""
    z = hidden.double() @ weight.double().T
    z = z if bias is None else z + bias.double()
    z = z if softcap is None else softcap * torch.tanh(z / softcap)
    z = (z if rows is None else z[rows]) / temperature
    shifted = z - z.amax(1, keepdim=True).detach()
    p = shifted.exp() / shifted.exp().sum(1, keepdim=True)
    return p[torch.arange(len(targets)), targets].log(), -(p * p.log()).sum(1)


def leaves(*tensors):
    return [None if x is None else x.clone().requires_grad_() for x in tensors]


def upstream(m, dtype=torch.float64):
    g = torch.Generator().manual_seed(7)
    return 3.7 * torch.randn(m, generator=g).to(dtype), 3.7 * torch.randn(m, generator=g).to(dtype)


def gradients(outputs, tensors, scale=1.0):
    up = [scale * u.to(o.dtype) for u, o in zip(upstream(len(outputs[0])), outputs, strict=True)]
    return torch.autograd.grad(outputs, [x for x in tensors if x is not None], up)


def relative(got, expected):
    return ((got.double() - expected).norm() / expected.norm().clamp(min=1e-30)).item()


@IMPLS
@pytest.mark.parametrize("vocabulary", [63, 401, 1271])
@pytest.mark.parametrize("temperature", [0.7, 1.0])
@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("with_bias", [False, True])
def test_values_and_gradients_equal_float64(impl, vocabulary, temperature, softcap, with_bias):
    hidden, weight, bias, targets = inputs(rows=CHUNK_ROWS + 63, vocabulary=vocabulary)
    bias = bias if with_bias else None
    options = {"temperature": temperature, "softcap": softcap}
    mine, exact = leaves(hidden, weight, bias), leaves(hidden, weight, bias)
    out = linear_logprob(mine[0], mine[1], targets, bias=mine[2], impl=impl, **options)
    expected = oracle(*exact, targets, **options)
    assert out.logprobs.dtype == out.entropy.dtype == out.lse.dtype == torch.float32
    torch.testing.assert_close(out.logprobs.double(), expected[0], rtol=0, atol=2e-5)
    torch.testing.assert_close(out.entropy.double(), expected[1], rtol=0, atol=2e-5)
    got = gradients((out.logprobs, out.entropy), mine)
    for name, g, e in zip(NAMES, got, gradients(expected, exact), strict=False):
        assert relative(g, e) < 1e-5, name


@IMPLS
@pytest.mark.parametrize("rows, width", [(1, 1), (63, 17), (401, 5), (1271, 8)])
def test_odd_sizes_in_float64_agree_to_the_last_digits(impl, rows, width):
    hidden, weight, bias, targets = inputs(rows, 29, width, torch.float64)
    mine, exact = leaves(hidden, weight, bias), leaves(hidden, weight, bias)
    out = linear_logprob(mine[0], mine[1], targets, bias=mine[2], temperature=0.7, impl=impl)
    expected = oracle(*exact, targets, temperature=0.7)
    assert out.logprobs.dtype == torch.float64
    torch.testing.assert_close((out.logprobs, out.entropy), expected, rtol=0, atol=1e-12)
    got = gradients((out.logprobs, out.entropy), mine)
    for g, e in zip(got, gradients(expected, exact), strict=True):
        assert relative(g, e) < 1e-11


def test_gradcheck():
    hidden, weight, bias, targets = inputs(9, 7, 4, torch.float64)
    rows = torch.tensor([8, 8, 0, 3])

    def both(h, w, b):
        out = linear_logprob(h, w, targets[:4], rows=rows, bias=b, temperature=1.3, softcap=2.0, impl="chunked")
        return out.logprobs, out.entropy

    assert torch.autograd.gradcheck(both, leaves(hidden, weight, bias))


@pytest.mark.parametrize("size", [3, 256, 300])
def test_chunked_equals_reference_for_any_chunk_size(monkeypatch, size):
    monkeypatch.setattr(head_chunks, "CHUNK_ROWS", size)
    monkeypatch.setattr(head_chunks, "CHUNK_COLUMNS", size)
    hidden, weight, bias, targets = inputs(rows=301)
    results = []
    for impl in ("reference", "chunked"):
        mine = leaves(hidden, weight, bias)
        out = linear_logprob(mine[0], mine[1], targets, bias=mine[2], softcap=5.0, impl=impl)
        results.append((out, gradients((out.logprobs, out.entropy), mine)))
    (a, grads_a), (b, grads_b) = results
    for name in ("logprobs", "entropy", "lse"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=0, atol=2e-5)
    assert torch.equal(a.top1, b.top1) and 0 < a.top1.sum() < 301
    assert all(relative(x, y.double()) < 1e-5 for x, y in zip(grads_a, grads_b, strict=True))


@IMPLS
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_inputs_have_float32_logits(impl, dtype, autocast):
    hidden, weight, bias, targets = inputs(rows=300, dtype=dtype)
    mine, exact = leaves(hidden, weight, bias), leaves(hidden.double(), weight.double(), bias.double())
    with torch.autocast("cpu", dtype, enabled=autocast):
        out = linear_logprob(mine[0], mine[1], targets, bias=mine[2], impl=impl)
    expected = oracle(*exact, targets)
    torch.testing.assert_close(out.logprobs.double(), expected[0], rtol=0, atol=2e-5)
    torch.testing.assert_close(out.entropy.double(), expected[1], rtol=0, atol=2e-5)
    for g, e in zip(gradients((out.logprobs, out.entropy), mine), gradients(expected, exact), strict=True):
        assert g.dtype == dtype and relative(g, e) < 5e-3


@IMPLS
@pytest.mark.parametrize("offset", [-120.0, 300.0, -300.0])
def test_logits_far_from_zero_lose_nothing(impl, offset):
    hidden, weight, _, targets = inputs(dtype=torch.float64)
    bias = torch.full((401,), offset, dtype=torch.float64)
    mine = leaves(hidden.float(), weight.float(), bias.float())
    exact = leaves(*(x.detach().double() for x in mine))
    out = linear_logprob(mine[0], mine[1], targets, bias=mine[2], impl=impl)
    expected = oracle(*exact, targets)
    torch.testing.assert_close(out.logprobs.double(), expected[0], rtol=0, atol=1e-3)
    torch.testing.assert_close(out.entropy.double(), expected[1], rtol=0, atol=1e-3)
    assert relative(gradients((out.logprobs, out.entropy), mine)[0], gradients(expected, exact)[0]) < 1e-3


@IMPLS
def test_one_certain_token_has_zero_entropy_and_no_nan(impl):
    hidden, weight = leaves(torch.ones(2, 1), torch.tensor([[-300.0], [-100.0], [-300.0]]))
    out = linear_logprob(hidden, weight, torch.tensor([1, 0]), impl=impl)
    assert out.logprobs.tolist() == [0.0, -200.0] and out.entropy.tolist() == [0.0, 0.0]
    assert out.top1.tolist() == [True, False] and out.lse.tolist() == [-100.0, -100.0]
    (out.logprobs.sum() + out.entropy.sum()).backward()
    assert hidden.grad.isfinite().all() and weight.grad.isfinite().all()


@IMPLS
def test_probabilities_of_the_whole_vocabulary_sum_to_one(impl):
    hidden, weight, bias, _ = inputs(rows=2, vocabulary=63)
    rows, targets = torch.arange(2).repeat_interleave(63), torch.arange(63).repeat(2)
    out = linear_logprob(hidden, weight, targets, rows=rows, bias=bias, temperature=0.7, impl=impl)
    p = out.logprobs.double().exp().view(2, 63)
    torch.testing.assert_close(p.sum(1), torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-5)
    torch.testing.assert_close(-(p * p.log()).sum(1), out.entropy.double()[::63], rtol=0, atol=1e-5)
    assert (out.logprobs <= 0).all() and (out.entropy >= 0).all()


@IMPLS
def test_rows_pick_and_repeat_hidden_states(impl):
    hidden, weight, bias, targets = inputs()
    rows = torch.tensor([5, 5, 5, 0, 62, 31], dtype=torch.int32)
    mine, exact = leaves(hidden, weight, bias), leaves(hidden, weight, bias)
    out = linear_logprob(mine[0], mine[1], targets[:6].int(), rows=rows, bias=mine[2], impl=impl)
    expected = oracle(*exact, targets[:6], rows=rows.long())
    torch.testing.assert_close(out.logprobs.double(), expected[0], rtol=0, atol=2e-5)
    got = gradients((out.logprobs, out.entropy), mine)
    assert all(relative(g, e) < 1e-5 for g, e in zip(got, gradients(expected, exact), strict=True))
    unused = torch.ones(63).bool()
    unused[rows.long()] = False
    assert (got[0][unused] == 0).all() and (got[0][~unused] != 0).any(1).all()


@IMPLS
def test_shifted_targets_another_temperature_or_no_softcap_show(impl):
    hidden, weight, bias, targets = inputs()
    right = linear_logprob(hidden, weight, targets, bias=bias, temperature=0.7, softcap=3.0, impl=impl)
    wrong = [
        linear_logprob(hidden, weight, targets.roll(1), bias=bias, temperature=0.7, softcap=3.0, impl=impl),
        linear_logprob(hidden, weight, targets, bias=bias, temperature=1.0, softcap=3.0, impl=impl),
        linear_logprob(hidden, weight, targets, bias=bias, temperature=0.7, impl=impl),
        linear_logprob(hidden, weight, targets, temperature=0.7, softcap=3.0, impl=impl),
    ]
    assert all((right.logprobs - x.logprobs).abs().mean() > 0.05 for x in wrong)
    assert all((right.entropy - x.entropy).abs().mean() > 0.02 for x in wrong[1:])


@IMPLS
def test_a_temperature_may_be_a_tensor(impl):
    hidden, weight, _, targets = inputs()
    by_number, by_tensor = (
        linear_logprob(hidden, weight, targets, temperature=t, impl=impl) for t in (0.5, torch.tensor(0.5))
    )
    torch.testing.assert_close(by_number.logprobs, by_tensor.logprobs)


@IMPLS
def test_no_targets_is_empty_and_still_in_the_graph(impl):
    mine = leaves(*inputs()[:3])
    none = torch.zeros(0, dtype=torch.long)
    out = linear_logprob(mine[0], mine[1], none, rows=none, bias=mine[2], impl=impl)
    assert len(out.logprobs) == len(out.entropy) == len(out.lse) == len(out.top1) == 0
    (out.logprobs.sum() + out.entropy.sum()).backward()
    assert all(torch.equal(x.grad, torch.zeros_like(x)) for x in mine)


@IMPLS
@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_frozen_inputs_get_no_gradient_and_change_none(impl, frozen):
    tensors = inputs()
    everything, some = leaves(*tensors[:3]), leaves(*tensors[:3])
    some[frozen].requires_grad_(False)
    for h, w, b in (everything, some):
        out = linear_logprob(h, w, tensors[3], bias=b, impl=impl)
        (out.logprobs.sum() + 0.1 * out.entropy.sum()).backward()
    assert some[frozen].grad is None
    for i in {0, 1, 2} - {frozen}:
        torch.testing.assert_close(some[i].grad, everything[i].grad)


@IMPLS
def test_without_entropy_the_log_probabilities_and_gradients_are_the_same(impl):
    hidden, weight, _, targets = inputs()
    a, b = leaves(hidden, weight), leaves(hidden, weight)
    without, with_ = linear_logprob(*a, targets, entropy=False, impl=impl), linear_logprob(*b, targets, impl=impl)
    assert without.entropy is None
    torch.testing.assert_close(without.logprobs, with_.logprobs)
    without.logprobs.sum().backward()
    with_.logprobs.sum().backward()
    torch.testing.assert_close(a[1].grad, b[1].grad)


@IMPLS
@pytest.mark.parametrize("softcap", [None, 3.0])
def test_every_target_may_have_its_own_temperature(impl, softcap):
    hidden, weight, bias, targets = inputs(rows=CHUNK_ROWS + 63)
    temperature = 0.3 + torch.rand(len(targets), generator=torch.Generator().manual_seed(1)) * 12
    mine, exact = leaves(hidden, weight, bias), leaves(hidden, weight, bias)
    out = linear_logprob(mine[0], mine[1], targets, bias=mine[2], temperature=temperature, softcap=softcap, impl=impl)
    expected = oracle(*exact, targets, temperature=temperature.double()[:, None], softcap=softcap)
    torch.testing.assert_close(out.logprobs.double(), expected[0], rtol=0, atol=2e-5)
    torch.testing.assert_close(out.entropy.double(), expected[1], rtol=0, atol=2e-5)
    got = gradients((out.logprobs, out.entropy), mine)
    assert all(relative(g, e) < 1e-5 for g, e in zip(got, gradients(expected, exact), strict=True))


@IMPLS
def test_ids_excluded_by_a_large_negative_bias_count_for_nothing(impl):
    hidden, weight, _, targets = inputs(vocabulary=1271)
    targets %= 700
    fewer, masked = leaves(hidden, weight[:700]), leaves(hidden, weight)
    shut = torch.zeros(1271).index_fill(0, torch.arange(700, 1271), -1e4)
    a = linear_logprob(*fewer, targets, impl=impl)
    b = linear_logprob(*masked, targets, bias=shut, impl=impl)
    torch.testing.assert_close((a.logprobs, a.entropy, a.lse), (b.logprobs, b.entropy, b.lse), rtol=0, atol=2e-5)
    for x, y in zip(gradients((a.logprobs, a.entropy), fewer), gradients((b.logprobs, b.entropy), masked), strict=True):
        torch.testing.assert_close(y[: len(x)], x, rtol=1e-4, atol=1e-4)
        assert (y[len(x) :] == 0).all()


def test_a_state_that_takes_no_gradient_may_hold_anything():
    hidden, weight, _, targets = inputs()
    keep = torch.arange(63) % 3 > 0
    clean, dirty = leaves(hidden, weight), leaves(hidden.masked_fill(~keep[:, None], torch.nan), weight)
    for h, w in (clean, dirty):
        out = linear_logprob(h, w, targets, impl="chunked")
        torch.where(keep, out.logprobs, 0.0).sum().backward()
    torch.testing.assert_close([x.grad for x in dirty], [x.grad for x in clean])


def test_chunked_never_holds_all_logits():
    hidden, weight, _, targets = inputs(rows=4 * CHUNK_ROWS, vocabulary=5000, width=8)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            made = out if isinstance(out, tuple) else (out,)
            largest = max([largest, *(x.numel() for x in made if isinstance(x, torch.Tensor))])
            return out

    # what is inside an operator is hidden from the mode, so the operators' functions are called
    common = hidden, weight, targets, None, None, torch.ones(len(targets)), None, None, 0, 5000, None, "chunked"
    with Watch():
        logprobs, entropy, lse, _ = module._stats._init_fn(*common)
    assert largest == CHUNK_ROWS * CHUNK_COLUMNS
    with Watch():
        module._grads._init_fn(logprobs, entropy, entropy, lse, *common, [True, True, False])
    assert largest == 4 * CHUNK_ROWS * CHUNK_COLUMNS
