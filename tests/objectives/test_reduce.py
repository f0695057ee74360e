"""The mean over sequences: any split of a batch adds up to the whole, because the count is global."""

import math

import pytest
import torch

from cogrl.objectives.reduce import sequence_mean


def ragged(lengths=(5, 1, 3, 0, 4, 2)):
    loss = torch.randn(len(lengths), 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return loss, torch.arange(5)[None] < torch.tensor(lengths)[:, None]


def test_it_equals_the_formula_written_as_a_float_loop():
    loss, mask = ragged()
    kept = [[x for x, m in zip(*row, strict=True) if m] for row in zip(loss.tolist(), mask.tolist(), strict=True)]
    assert sequence_mean(loss, mask, 6).item() == pytest.approx(sum(sum(r) / len(r) for r in kept if r) / 6)


@pytest.mark.parametrize("sizes", [[1, 5], [2, 2, 2], [1] * 6, [3, 0, 3]])
def test_any_split_with_the_global_count_equals_the_whole_batch(sizes):
    loss, mask = ragged()
    whole, split = (loss.clone().requires_grad_() for _ in range(2))
    total = sequence_mean(whole, mask, 6)
    parts = [sequence_mean(x, m, 6) for x, m in zip(split.split(sizes), mask.split(sizes), strict=True)]
    torch.testing.assert_close(sum(parts), total)
    total.backward()
    sum(parts).backward()
    torch.testing.assert_close(split.grad, whole.grad)


def test_sequences_weigh_the_same_however_long_they_are():
    mask = torch.tensor([[True, True, True, True], [True, False, False, False]])
    loss = torch.tensor([[1.0] * 4, [2.0] * 4])
    assert sequence_mean(loss, mask, 2).item() == pytest.approx((1 + 2) / 2)


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_padding_never_reaches_the_sum_or_the_gradient(poison):
    loss, mask = ragged()
    dirty = loss.masked_fill(~mask, poison).requires_grad_()
    value = sequence_mean(dirty, mask, 6)
    torch.testing.assert_close(value.detach(), sequence_mean(loss, mask, 6))
    value.backward()
    assert dirty.grad.isfinite().all() and (dirty.grad[~mask] == 0).all()


@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_batch_without_tokens_is_zero_and_still_in_the_graph(as_tensor):
    loss = torch.randn(2, 3, requires_grad=True)
    mask = torch.zeros(2, 3).bool()
    for count in (2, 0):
        value = sequence_mean(loss, mask, torch.tensor(count) if as_tensor else count)
        assert value == 0
        value.backward()
    assert torch.equal(loss.grad, torch.zeros(2, 3))


@pytest.mark.parametrize("count", [0.75, torch.tensor(0.75), torch.tensor(0.75, dtype=torch.float64)])
def test_counts_below_one_divide_as_they_are(count):
    loss, mask = torch.full((2, 2), 3.0), torch.ones(2, 2).bool()
    assert sequence_mean(loss, mask, count).item() == pytest.approx(6 / 0.75)
    assert sequence_mean(loss, mask, count).dtype == torch.float32


def test_a_negative_count_is_refused():
    loss, mask = ragged()
    with pytest.raises(ValueError, match="count=-1"):
        sequence_mean(loss, mask, -1)
