"""Statistics and gradient of rows of logits, against float64 with explicit probabilities."""

import pytest
import torch
from cogrl_kernels import row_ops_triton as module
from cogrl_kernels.row_ops_triton import row_grad_, row_partials, row_stats

CAPS = pytest.mark.parametrize("softcap", [None, 4.0])


@pytest.fixture(autouse=True, params=[256, module.BLOCK], ids=["many blocks", "one block"])
def block(request, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", request.param)
    return request.param


def inputs(vocabulary=401, rows=12, spread=4.0, seed=0):
    """Logits, targets that include both ends of the vocabulary, and a temperature per row from 0.3 to 12."""
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(rows, vocabulary, generator=g) * spread
    targets = torch.randint(0, vocabulary, (rows,), generator=g)
    targets[0], targets[1], targets[2] = vocabulary - 1, 0, z[2].argmax()
    return z, targets, torch.logspace(-0.5, 1.08, rows)


def oracle(z, targets, temperature, softcap):
    z = z if softcap is None else softcap * torch.tanh(z / softcap)
    z = z / temperature.double()[:, None]
    shifted = z - z.amax(1, keepdim=True).detach()
    p = shifted.exp() / shifted.exp().sum(1, keepdim=True)
    chosen = p.gather(1, targets[:, None]).squeeze(1)
    return chosen.log(), -(p * p.clamp(min=1e-300).log()).sum(1), torch.logsumexp(z, 1), chosen == p.amax(1)


def relative(got, expected):
    return ((got.double() - expected).norm() / expected.norm()).item()


def gradient(z, targets, temperature, softcap, grad_logprobs, grad_entropy):
    """The oracle's."""
    z = z.double().requires_grad_()
    logprobs, entropy, *_ = oracle(z, targets, temperature, softcap)
    loss = (logprobs * grad_logprobs).sum() + (0 if grad_entropy is None else (entropy * grad_entropy).sum())
    return torch.autograd.grad(loss, z)[0]


def upstream(rows, seed=7):
    g = torch.Generator().manual_seed(seed)
    return 3.7 * torch.randn(rows, generator=g), 3.7 * torch.randn(rows, generator=g)


@CAPS
@pytest.mark.parametrize("vocabulary", [1, 63, 401, 1271])
def test_statistics_equal_float64(vocabulary, softcap):
    z, targets, temperature = inputs(vocabulary)
    before = z.clone()
    *got, top1 = row_stats(z, targets, temperature, softcap)
    *expected, best = oracle(z.double(), targets, temperature, softcap)
    for mine, exact in zip(got, expected, strict=True):
        torch.testing.assert_close(mine.double(), exact, rtol=0, atol=2e-5)
    assert torch.equal(top1, best) and top1[2] and torch.equal(z, before)
    assert (got[0] <= 0).all() and (got[1] >= 0).all()


@CAPS
@pytest.mark.parametrize("vocabulary", [1, 63, 401, 1271])
@pytest.mark.parametrize("with_entropy", [False, True])
def test_gradients_equal_float64_and_are_written_in_place(vocabulary, softcap, with_entropy):
    z, targets, temperature = inputs(vocabulary)
    _, entropy, lse, _ = row_stats(z, targets, temperature, softcap)
    grad_logprobs, grad_entropy = upstream(len(z))
    grad_entropy = grad_entropy if with_entropy else None
    expected = gradient(z, targets, temperature, softcap, grad_logprobs, grad_entropy)
    got = row_grad_(z, targets, lse, entropy, grad_logprobs, grad_entropy, temperature, softcap, torch.float32)
    assert got.data_ptr() == z.data_ptr()
    # the only id of a vocabulary of one has no gradient to be relative to
    assert (got - expected).norm() < 1e-5 * max(expected.norm(), 1.0)
    if softcap is None:
        torch.testing.assert_close(got.sum(1), torch.zeros(len(z)), rtol=0, atol=2e-4)


def test_half_precision_gradients_leave_the_logits_alone():
    z, targets, temperature = inputs()
    before = z.clone()
    _, entropy, lse, _ = row_stats(z, targets, temperature, None)
    got = row_grad_(z, targets, lse, entropy, *upstream(len(z)), temperature, None, torch.float16)
    assert got.dtype == torch.float16 and torch.equal(z, before)
    assert relative(got, gradient(z, targets, temperature, None, *upstream(len(z)))) < 1e-3


@pytest.mark.parametrize("offset", [-120.0, 300.0, -300.0])
@pytest.mark.parametrize("vocabulary", [63, 401])
def test_logits_far_from_zero_count_no_column_beyond_the_vocabulary(offset, vocabulary):
    z, targets, _ = inputs(vocabulary)
    z = z + offset
    *got, _ = row_stats(z, targets, 1.0, None)
    for mine, exact in zip(got, oracle(z.double(), targets, torch.ones(len(z)), None), strict=False):
        torch.testing.assert_close(mine.double(), exact, rtol=0, atol=1e-3)
    grad = row_grad_(z.clone(), targets, got[2], got[1], *upstream(len(z)), 1.0, None, torch.float32)
    assert relative(grad, gradient(z, targets, torch.ones(len(z)), None, *upstream(len(z)))) < 1e-3


def test_equal_logits_at_the_cap_are_a_uniform_distribution():
    z, targets = torch.full((3, 300), -1e3), torch.tensor([0, 150, 299])
    logprobs, entropy, lse, top1 = row_stats(z, targets, 0.5, 2.0)
    uniform = torch.full((3,), 300.0).log()
    torch.testing.assert_close((logprobs, entropy, lse), (-uniform, uniform, uniform - 4.0), rtol=0, atol=1e-5)
    assert top1.all()


def test_ids_masked_by_a_large_bias_are_finite_and_never_chosen():
    z, targets, temperature = inputs()
    z[:, 100:] -= 1e4
    targets = targets.clamp(max=99)
    targets[0] = 400
    logprobs, entropy, lse, _ = row_stats(z, targets, temperature, None)
    for mine, exact in zip((logprobs, entropy), oracle(z.double(), targets, temperature, None), strict=False):
        torch.testing.assert_close(mine.double()[1:], exact[1:], rtol=0, atol=2e-5)
    assert logprobs[0] < -700 and logprobs.isfinite().all()
    grad = row_grad_(z, targets, lse, entropy, *upstream(len(z)), temperature, None, torch.float32)
    assert grad.isfinite().all() and (grad[:, 101:][:-1, :-1] == 0).all()


def test_rows_without_a_gradient_are_zero_whatever_is_in_them():
    z, targets, temperature = inputs()
    stats = row_stats(z, targets, temperature, None)
    grad_logprobs, grad_entropy = upstream(len(z))
    grad_logprobs[[3, 5, 8]] = 0.0
    grad_entropy[[3, 8]] = 0.0
    expected = gradient(z, targets, temperature, None, grad_logprobs, grad_entropy)
    z[3] = torch.nan
    stats[2][8] = torch.nan
    got = row_grad_(z, targets, stats[2], stats[1], grad_logprobs, grad_entropy, temperature, None, torch.float32)
    assert (got[[3, 8]] == 0).all() and (got[5] != 0).any()
    assert relative(got, expected) < 1e-5


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("poison", [torch.nan, torch.inf])
def test_a_bad_logit_spoils_its_own_row_and_no_other(poison):
    z, targets, temperature = inputs()
    clean = row_stats(z, targets, temperature, None)
    z[4, 7] = poison
    logprobs, entropy, lse, _ = row_stats(z, targets, temperature, None)
    assert logprobs[4].isnan() and entropy[4].isnan()
    others = torch.arange(len(z)) != 4
    for mine, before in zip((logprobs, entropy, lse), clean, strict=False):
        assert torch.equal(mine[others], before[others])


def test_a_certain_token_has_no_entropy():
    z = torch.full((2, 401), -300.0)
    z[:, 9] = -100.0
    logprobs, entropy, lse, top1 = row_stats(z, torch.tensor([9, 0]), 1.0, None)
    assert logprobs[0] == 0 and entropy.tolist() == [0.0, 0.0] and top1.tolist() == [True, False]
    torch.testing.assert_close((logprobs[1], lse), (torch.tensor(-200.0), torch.full((2,), -100.0)), rtol=0, atol=1e-4)


@CAPS
def test_shards_of_the_vocabulary_merge_into_the_whole(softcap):
    z, targets, temperature = inputs(401)
    cut = 170
    left = row_partials(z[:, :cut], targets, temperature, softcap)
    right = row_partials(z[:, cut:], targets - cut, temperature, softcap)
    nothing = row_partials(z[:, :0], targets - 401, temperature, softcap)
    inside = (targets < cut).tolist()
    assert [x > -1e29 for x in left[3].tolist()] == inside and [x < -1e29 for x in right[3].tolist()] == inside
    peaks, totals, firsts, chosen = (torch.stack(pair).double() for pair in zip(left, right, nothing, strict=True))
    peak = peaks.amax(0)
    decay = (peaks - peak).exp()
    total, first = (decay * totals).sum(0), (decay * (firsts + (peaks - peak) * totals)).sum(0)
    logprobs, entropy, lse, _ = oracle(z.double(), targets, temperature, softcap)
    torch.testing.assert_close(peak + total.log(), lse, rtol=0, atol=2e-5)
    torch.testing.assert_close(chosen.amax(0) - peak - total.log(), logprobs, rtol=0, atol=2e-5)
    torch.testing.assert_close(total.log() - first / total, entropy, rtol=0, atol=2e-5)


def test_the_gradient_of_a_shard_is_its_part_of_the_whole():
    z, targets, temperature = inputs(401)
    _, entropy, lse, _ = row_stats(z, targets, temperature, None)
    expected = gradient(z, targets, temperature, None, *upstream(len(z)))
    for start, part in ((0, z[:, :170].clone()), (170, z[:, 170:].clone())):
        got = row_grad_(part, targets - start, lse, entropy, *upstream(len(z)), temperature, None, torch.float32)
        assert relative(got, expected[:, start : start + part.shape[1]]) < 1e-5


def test_one_temperature_a_tensor_of_it_and_one_per_row_are_the_same():
    z, targets, _ = inputs()
    results = [row_stats(z, targets, t, None) for t in (0.7, torch.tensor(0.7), torch.full((len(z),), 0.7))]
    assert all(torch.equal(a, b) for other in results[1:] for a, b in zip(results[0], other, strict=True))


def test_strided_logits_and_rows_in_another_order_give_the_same_bits():
    z, targets, temperature = inputs()
    plain = row_stats(z, targets, temperature, None)
    wide = torch.full((len(z), 500), torch.nan)
    wide[:, :401] = z
    order = torch.arange(len(z)).flip(0)
    for other in (
        row_stats(wide[:, :401], targets, temperature, None),
        row_stats(z.T.contiguous().T, targets, temperature, None),
        [x.flip(0) for x in row_stats(z[order], targets[order], temperature[order], None)],
    ):
        assert all(torch.equal(a, b) for a, b in zip(plain, other, strict=True))


def test_no_rows_are_empty_and_other_dtypes_refused():
    z, targets, temperature = inputs()
    assert [len(x) for x in row_stats(z[:0], targets[:0], temperature[:0], None)] == [0] * 4
    none = torch.zeros(0)
    assert row_grad_(z[:0], targets[:0], none, none, none, None, 1.0, None, torch.float32).shape == (0, 401)
    with pytest.raises(ValueError, match=r"float64; the kernel reads float32 logits"):
        row_stats(z.double(), targets, temperature, None)
