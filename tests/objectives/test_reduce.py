"""Denominators: any split of a batch adds up to the whole, because the count is global."""

import math

import pytest
import torch

from cogrl.objectives.reduce import fixed_length, sequence_mean, token_mean


def ragged(lengths=(5, 1, 3, 0, 4, 2)):
    loss = torch.randn(len(lengths), 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return loss, torch.arange(5)[None] < torch.tensor(lengths)[:, None]


def reductions(mask):
    rollouts, tokens = len(mask), int(mask.sum())
    return {
        "sequence_mean": lambda loss, m: sequence_mean(loss, m, rollouts),
        "token_mean": lambda loss, m: token_mean(loss, m, tokens),
        "fixed_length": lambda loss, m: fixed_length(loss, m, rollouts, 16),
    }


def test_they_equal_their_formulas_written_as_float_loops():
    loss, mask = ragged()
    kept = [[x for x, m in zip(*row, strict=True) if m] for row in zip(loss.tolist(), mask.tolist(), strict=True)]
    total = sum(map(sum, kept))
    assert sequence_mean(loss, mask, 6).item() == pytest.approx(sum(sum(r) / len(r) for r in kept if r) / 6)
    assert token_mean(loss, mask, 15).item() == pytest.approx(total / 15)
    assert fixed_length(loss, mask, 6, 16).item() == pytest.approx(total / (6 * 16))


@pytest.mark.parametrize("name", ["sequence_mean", "token_mean", "fixed_length"])
@pytest.mark.parametrize("sizes", [[1, 5], [2, 2, 2], [1] * 6, [3, 0, 3]])
def test_any_split_with_the_global_count_equals_the_whole_batch(name, sizes):
    loss, mask = ragged()
    reduce = reductions(mask)[name]
    whole, split = (loss.clone().requires_grad_() for _ in range(2))
    total = reduce(whole, mask)
    parts = [reduce(x, m) for x, m in zip(split.split(sizes), mask.split(sizes), strict=True)]
    torch.testing.assert_close(sum(parts), total)
    total.backward()
    sum(parts).backward()
    torch.testing.assert_close(split.grad, whole.grad)


def test_sequences_weigh_the_same_in_one_and_tokens_in_the_other():
    mask = torch.tensor([[True, True, True, True], [True, False, False, False]])
    loss = torch.tensor([[1.0] * 4, [2.0] * 4])
    assert sequence_mean(loss, mask, 2).item() == pytest.approx((1 + 2) / 2)
    assert token_mean(loss, mask, 5).item() == pytest.approx((4 + 2) / 5)


@pytest.mark.parametrize("name", ["sequence_mean", "token_mean", "fixed_length"])
@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_padding_never_reaches_the_sum_or_the_gradient(name, poison):
    loss, mask = ragged()
    reduce = reductions(mask)[name]
    dirty = loss.masked_fill(~mask, poison).requires_grad_()
    value = reduce(dirty, mask)
    torch.testing.assert_close(value.detach(), reduce(loss, mask))
    value.backward()
    assert dirty.grad.isfinite().all() and (dirty.grad[~mask] == 0).all()


@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_batch_without_tokens_is_zero_and_still_in_the_graph(as_tensor):
    loss = torch.randn(2, 3, requires_grad=True)
    mask = torch.zeros(2, 3).bool()
    zero = mask.sum() if as_tensor else 0
    for value in (sequence_mean(loss, mask, 2), token_mean(loss, mask, zero), fixed_length(loss, mask, zero, 8)):
        assert value == 0
        value.backward()
    assert torch.equal(loss.grad, torch.zeros(2, 3))


@pytest.mark.parametrize("count", [0.75, torch.tensor(0.75), torch.tensor(0.75, dtype=torch.float64)])
def test_counts_below_one_divide_as_they_are(count):
    loss, mask = torch.full((2, 2), 3.0), torch.ones(2, 2).bool()
    assert token_mean(loss, mask, count).item() == pytest.approx(12 / 0.75)
    assert token_mean(loss, mask, count).dtype == torch.float32


def test_senseless_counts_are_refused():
    loss, mask = ragged()
    with pytest.raises(ValueError, match="count=-1"):
        token_mean(loss, mask, -1)
    with pytest.raises(ValueError, match="length=0"):
        fixed_length(loss, mask, 6, 0)
