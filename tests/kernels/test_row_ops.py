"""Row statistics and the logits' gradient against autograd in float64, whatever the block."""

import pytest
import torch
from cogrl_kernels import row_ops
from cogrl_kernels.row_ops import Fold, finish, row_grad_, row_partials, row_stats

SOFTCAPS = pytest.mark.parametrize("softcap", [None, 4.0])


def rows_of_logits(c=9, v=1271, dtype=torch.float32, seed=0):
    g = torch.Generator().manual_seed(seed)
    z = (3 * torch.randn(c, v, generator=g)).to(dtype)
    targets = torch.randint(0, v, (c,), generator=g)
    targets[0], targets[-1] = v - 1, 0
    temperature = (0.3 + 2 * torch.rand(c, generator=g)).to(dtype)
    upstream = [3.7 * torch.randn(c, generator=g).to(dtype) for _ in range(2)]
    return z, targets, temperature, *upstream


def definition(z, targets, temperature, softcap):
    x = z if softcap is None else softcap * torch.tanh(z / softcap)
    x = x / temperature[:, None]
    p = x.softmax(-1)
    lse = x.logsumexp(-1)
    return x.gather(1, targets[:, None]).squeeze(1) - lse, -(p * (x - lse[:, None])).sum(-1), lse


@SOFTCAPS
@pytest.mark.parametrize("v", [1, 63, 1023, 1024, 1025, 2500])
def test_statistics_equal_their_definition(v, softcap):
    z, targets, temperature, *_ = rows_of_logits(v=v)
    before = z.clone()
    logprobs, entropy, lse, top1 = row_stats(z, targets, temperature, softcap)
    assert torch.equal(z, before)
    for got, expected in zip(
        (logprobs, entropy, lse), definition(z.double(), targets, temperature.double(), softcap), strict=True
    ):
        torch.testing.assert_close(got.double(), expected, rtol=1e-6, atol=2e-5)
    assert torch.equal(top1, z.argmax(1) == targets)
    assert (logprobs <= 0).all() and (entropy >= 0).all()


@SOFTCAPS
@pytest.mark.parametrize("with_entropy", [False, True])
@pytest.mark.parametrize("v", [1, 63, 401, 2500])
def test_the_gradient_is_that_of_autograd(v, with_entropy, softcap):
    z, targets, temperature, by_logprob, by_entropy = rows_of_logits(v=v, dtype=torch.float64)
    leaf = z.clone().requires_grad_()
    logprobs, entropy, lse = definition(leaf, targets, temperature, softcap)
    objective = (by_logprob * logprobs).sum() + (by_entropy * entropy).sum() * with_entropy
    expected = torch.autograd.grad(objective, leaf)[0]
    given = lse.detach(), entropy.detach(), by_logprob, by_entropy if with_entropy else None
    dz = row_grad_(z.clone(), targets, *given, temperature, softcap, torch.float64)
    torch.testing.assert_close(dz, expected, rtol=1e-10, atol=1e-12)
    if softcap is None:
        assert dz.sum(1).abs().max() < 1e-12


def test_the_size_of_a_block_changes_nothing_but_rounding(monkeypatch):
    z, targets, temperature, by_logprob, by_entropy = rows_of_logits(dtype=torch.float64)
    results = []
    for columns, elements in ((1024, 2**18), (7, 2000), (10**6, 1)):
        monkeypatch.setattr(row_ops, "block_columns", lambda z, columns=columns: columns)
        monkeypatch.setattr(row_ops, "block_elements", lambda z, elements=elements: elements)
        stats = row_stats(z, targets, temperature, 5.0)
        dz = row_grad_(z.clone(), targets, stats[2], stats[1], by_logprob, by_entropy, temperature, 5.0, torch.float64)
        results.append((*stats[:3], dz))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-11, atol=1e-12)


def test_a_gradient_is_written_over_the_logits_and_rounded_only_when_asked():
    z, targets, temperature, by_logprob, by_entropy = rows_of_logits()
    _, entropy, lse, _ = row_stats(z, targets, temperature, None)
    repeated = z.clone()
    dz = row_grad_(z, targets, lse, entropy, by_logprob, by_entropy, temperature, None, torch.float32)
    assert dz.data_ptr() == z.data_ptr()
    half = row_grad_(repeated, targets, lse, entropy, by_logprob, by_entropy, temperature, None, torch.bfloat16)
    torch.testing.assert_close(half, dz.bfloat16(), rtol=2**-7, atol=0)


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf")])
def test_a_row_without_gradients_is_exactly_zero_whatever_is_in_it(nonsense):
    z, targets, temperature, by_logprob, by_entropy = rows_of_logits()
    clean = z.clone()
    z[3, 5] = nonsense
    by_logprob[3] = by_entropy[3] = 0.0
    _, entropy, lse, _ = row_stats(z, targets, temperature, None)
    dz = row_grad_(z, targets, lse, entropy, by_logprob, by_entropy, temperature, None, torch.float32)
    assert (dz[3] == 0).all() and dz.isfinite().all()
    _, entropy, lse, _ = row_stats(clean, targets, temperature, None)
    expected = row_grad_(clean, targets, lse, entropy, by_logprob, by_entropy, temperature, None, torch.float32)
    torch.testing.assert_close(dz, expected)


def test_one_of_two_gradients_is_enough_to_be_live():
    z, targets, temperature, by_logprob, by_entropy = rows_of_logits()
    _, entropy, lse, _ = row_stats(z, targets, temperature, None)
    nothing = torch.zeros_like(by_logprob)
    for a, b in ((by_logprob, nothing), (nothing, by_entropy)):
        dz = row_grad_(z.clone(), targets, lse, entropy, a, b, temperature, None, torch.float32)
        assert (dz != 0).any(1).all()


@pytest.mark.parametrize("offset", [-120.0, 300.0, -300.0])
def test_logits_far_from_zero_lose_nothing_of_the_entropy(offset):
    z, targets, temperature, *_ = rows_of_logits(v=1025)
    z, temperature = (z.double() + offset).float(), torch.ones_like(temperature)
    logprobs, entropy, lse, _ = row_stats(z, targets, temperature, None)
    expected = definition(z.double(), targets, temperature.double(), None)
    torch.testing.assert_close(logprobs.double(), expected[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(entropy.double(), expected[1], rtol=0, atol=1e-5)
    torch.testing.assert_close(lse.double(), expected[2], rtol=1e-6, atol=0)


def test_ids_excluded_by_a_large_negative_bias_count_for_nothing():
    z, targets, temperature, by_logprob, by_entropy = rows_of_logits(v=1500)
    targets %= 700
    masked = z.clone()
    masked[:, 700:] -= 1e4
    alone, together = (row_stats(x, targets, temperature, None) for x in (z[:, :700].clone(), masked))
    torch.testing.assert_close(together, alone)
    given = together[2], together[1], by_logprob, by_entropy, temperature, None, torch.float32
    dz = row_grad_(masked, targets, *given)
    assert dz.isfinite().all() and (dz[:, 700:] == 0).all()


@pytest.mark.parametrize("softcap", [None, 4.0])
def test_shards_of_the_vocabulary_hold_all_that_is_needed(softcap):
    z, targets, temperature, by_logprob, by_entropy = rows_of_logits(dtype=torch.float64)
    whole = row_stats(z, targets, temperature, softcap)
    fold = Fold(targets, temperature, softcap)
    for start, stop in ((0, 400), (400, 401), (401, 1271)):
        fold.add(z[:, start:stop], start)
        known = row_partials(z[:, start:stop], targets - start, temperature, softcap)
        here = (targets >= start) & (targets < stop)
        assert torch.equal(known[3] > row_ops.NOTHING / 2, here)
    torch.testing.assert_close(finish(*fold.partials()), whole)
    given = whole[2], whole[1], by_logprob, by_entropy, temperature, softcap, torch.float64
    dz = row_grad_(z.clone(), targets, *given)
    parts = [row_grad_(z[:, a:b].clone(), targets - a, *given) for a, b in ((0, 400), (400, 1271))]
    torch.testing.assert_close(torch.cat(parts, 1), dz)


def test_a_tie_with_the_largest_logit_is_top1_and_nan_spoils_its_own_row_only():
    z = torch.tensor([[1.0, 1.0, 0.0], [float("nan"), 0.0, 0.0], [0.0, 1.0, 2.0]])
    logprobs, entropy, lse, top1 = row_stats(z, torch.tensor([1, 1, 1]), torch.ones(3), None)
    assert top1.tolist() == [True, False, False]
    for x in (logprobs, entropy, lse):
        assert x.isnan().tolist() == [False, True, False]
