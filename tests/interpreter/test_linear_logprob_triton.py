"""The scoring kernel against float64 with explicit probabilities, from the same rounded inputs."""

import pytest
import torch
from cogrl_kernels import linear_logprob_triton
from cogrl_kernels.linear_logprob import linear_logprob
from cogrl_kernels.linear_logprob_triton import LARGE, SMALL, score, score_partials, tile_for, vocabulary_splits

CAPS = pytest.mark.parametrize("softcap", [None, 3.0])


def inputs(rows=63, vocabulary=401, width=33, dtype=torch.float32, seed=0):
    g = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, width, generator=g).to(dtype)
    weight = (torch.randn(vocabulary, width, generator=g) * 2 / width**0.5).to(dtype)
    bias = torch.randn(vocabulary, generator=g).to(dtype)
    targets = torch.randint(0, vocabulary, (rows,), generator=g)
    targets[0], targets[-1] = vocabulary - 1, 0
    return hidden, weight, bias, targets


def oracle(hidden, weight, bias, targets, rows=None, temperature=1.0, softcap=None):
    z = hidden.double() @ weight.double().T
    z = z if bias is None else z + bias.double()
    z = z if softcap is None else softcap * torch.tanh(z / softcap)
    z = z if rows is None else z[rows]
    z = z / (temperature.double()[:, None] if isinstance(temperature, torch.Tensor) else temperature)
    shifted = z - z.amax(1, keepdim=True)
    p = shifted.exp() / shifted.exp().sum(1, keepdim=True)
    chosen = p.gather(1, targets[:, None]).squeeze(1)
    return chosen.log(), -(p * p.clamp(min=1e-300).log()).sum(1), torch.logsumexp(z, 1), chosen == p.amax(1)


def assert_equal_float64(got, expected, atol=2e-5):
    for mine, exact in zip(got[:3], expected[:3], strict=True):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine.double(), exact, rtol=0, atol=atol)
    assert (got[0] <= 0).all() and (got[1] >= 0).all()


@CAPS
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize(
    "rows, vocabulary, width, dtype",
    [
        (63, 401, 33, torch.float32),
        (401, 63, 8, torch.float32),
        (1, 1, 1, torch.float32),
        (130, 1271, 80, torch.float16),
        (63, 401, 33, torch.float16),
        (63, 401, 80, torch.bfloat16),
    ],
)
def test_scores_equal_float64(rows, vocabulary, width, dtype, with_bias, softcap):
    hidden, weight, bias, targets = inputs(rows, vocabulary, width, dtype)
    bias = bias if with_bias else None
    got = score(hidden, weight, targets, None, bias, 0.7, softcap)
    expected = oracle(hidden, weight, bias, targets, None, 0.7, softcap)
    assert_equal_float64(got, expected)
    assert torch.equal(got[3], expected[3])


@pytest.mark.parametrize("width, dtype, tile", [(32, torch.float16, LARGE), (31, torch.float16, SMALL)])
def test_a_vocabulary_of_several_tiles_a_split_is_counted_once(width, dtype, tile):
    hidden, weight, bias, targets = inputs(5, 2500, width, dtype)
    assert tile_for(weight) == tile and vocabulary_splits(2500, tile.vocabulary)[1] > 1
    targets[:] = torch.tensor([2499, 0, 127, 128, 2048])
    expected = oracle(hidden, weight, bias, targets)
    assert_equal_float64(score(hidden, weight, targets, None, bias, 1.0, None), expected)


def test_splits_cover_every_vocabulary():
    for tiles in [*range(1, 100), 1188, 2000]:
        splits, each = vocabulary_splits(128 * tiles - 127, 128)
        assert 1 <= splits <= 16 and (splits - 1) * each < tiles <= splits * each


@CAPS
def test_rows_pick_and_repeat_hidden_states_each_with_its_temperature(softcap):
    hidden, weight, bias, targets = inputs()
    rows, targets = torch.tensor([5, 5, 5, 0, 62, 31], dtype=torch.int32), targets[:6].int()
    temperature = torch.tensor([0.3, 1.0, 12.0, 0.7, 1.0, 2.0])
    got = score(hidden, weight, targets, rows, bias, temperature, softcap)
    assert_equal_float64(got, oracle(hidden, weight, bias, targets.long(), rows.long(), temperature, softcap))


@pytest.mark.parametrize("offset", [-120.0, 300.0, -300.0])
def test_logits_far_from_zero_count_no_column_beyond_the_vocabulary(offset):
    hidden, weight, _, targets = inputs()
    bias = torch.full((401,), offset)
    got = score(hidden, weight, targets, None, bias, 1.0, None)
    assert_equal_float64(got, oracle(hidden, weight, bias, targets), atol=1e-3)


def test_equal_logits_at_the_cap_are_a_uniform_distribution():
    hidden, weight = torch.ones(3, 4), torch.full((300, 4), -100.0)
    logprobs, entropy, lse, top1 = score(hidden, weight, torch.tensor([0, 150, 299]), None, None, 0.5, 2.0)
    uniform = torch.full((3,), 300.0).log()
    torch.testing.assert_close((logprobs, entropy, lse), (-uniform, uniform, uniform - 4.0), rtol=0, atol=1e-5)
    assert top1.all()


def test_ids_masked_by_a_large_bias_are_finite():
    hidden, weight, bias, targets = inputs()
    bias[100:] = -1e4
    targets %= 100
    got = score(hidden, weight, targets, None, bias, 1.0, None)
    assert_equal_float64(got, oracle(hidden, weight, bias, targets))


def test_a_certain_token_has_no_entropy_and_only_the_argmax_is_top1():
    weight = torch.tensor([[-300.0], [-100.0], [-300.0]])
    logprobs, entropy, lse, top1 = score(torch.ones(2, 1), weight, torch.tensor([1, 0]), None, None, 1.0, None)
    assert logprobs[0] == 0 and entropy.tolist() == [0.0, 0.0] and top1.tolist() == [True, False]
    torch.testing.assert_close((logprobs[1], lse), (torch.tensor(-200.0), torch.full((2,), -100.0)), rtol=0, atol=1e-4)


def test_probabilities_of_the_whole_vocabulary_sum_to_one():
    hidden, weight, bias, _ = inputs(rows=1)
    logprobs, entropy, _, top1 = score(hidden, weight, torch.arange(401), torch.zeros(401).long(), bias, 0.7, None)
    p = logprobs.double().exp()
    assert abs(p.sum() - 1) < 1e-5 and abs(-(p * p.log()).sum() - entropy[0]) < 1e-5 and top1.sum() == 1


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_bad_hidden_state_spoils_its_own_targets_and_no_others():
    hidden, weight, bias, targets = inputs()
    clean = score(hidden, weight, targets, None, bias, 1.0, None)
    hidden[7, 3] = torch.nan
    got = score(hidden, weight, targets, None, bias, 1.0, None)
    others = torch.arange(63) != 7
    for mine, before in zip(got[:3], clean[:3], strict=True):
        assert mine[7].isnan()
        torch.testing.assert_close(mine[others], before[others])


@pytest.mark.parametrize("width, dtype", [(33, torch.float32), (32, torch.float16)])
def test_a_target_scores_the_same_up_to_rounding_in_any_batch(width, dtype):
    hidden, weight, bias, targets = inputs(rows=140, width=width, dtype=dtype)
    whole = score(hidden, weight, targets, None, bias, 0.7, None)
    for rows in (torch.arange(139, -1, -1), torch.tensor([139]), torch.arange(3, 70)):
        part = score(hidden, weight, targets[rows], rows, bias, 0.7, None)
        repeated = score(hidden[rows], weight, targets[rows], None, bias, 0.7, None)
        expected = tuple(x[rows] for x in whole)
        torch.testing.assert_close(part, expected)
        torch.testing.assert_close(repeated, expected)


@CAPS
def test_shards_of_the_vocabulary_merge_into_the_whole(softcap):
    hidden, weight, bias, targets = inputs()
    parts = [
        score_partials(hidden, weight[a:b], targets - a, None, bias[a:b], 0.7, softcap)
        for a, b in ((0, 170), (170, 401), (401, 401))
    ]
    peaks, totals, firsts, chosen = (torch.stack(pair).double() for pair in zip(*parts, strict=True))
    assert torch.equal(chosen[0] > -1e29, targets < 170) and torch.equal(chosen[1] > -1e29, targets >= 170)
    peak = peaks.amax(0)
    decay = (peaks - peak).exp()
    total, first = (decay * totals).sum(0), (decay * (firsts + (peaks - peak) * totals)).sum(0)
    logprobs, entropy, lse, _ = oracle(hidden, weight, bias, targets, None, 0.7, softcap)
    torch.testing.assert_close(peak + total.log(), lse, rtol=0, atol=2e-5)
    torch.testing.assert_close(chosen.amax(0) - peak - total.log(), logprobs, rtol=0, atol=2e-5)
    torch.testing.assert_close(total.log() - first / total, entropy, rtol=0, atol=2e-5)


def test_strided_inputs_give_the_same_up_to_rounding():
    hidden, weight, bias, targets = inputs()
    plain = score(hidden, weight, targets, None, bias, 1.0, None)
    wide = torch.full((63, 50), torch.nan)
    wide[:, 1:34] = hidden
    other = score(wide[:, 1:34], weight.T.contiguous().T, targets, None, bias, torch.tensor(1.0), None)
    torch.testing.assert_close(other, plain)


def test_the_public_function_scores_with_this_kernel(monkeypatch):
    hidden, weight, bias, targets = inputs()
    mine, calls = score(hidden, weight, targets, None, bias, 0.7, None), []
    spy = lambda *args: calls.append(args) or score_partials(*args)
    monkeypatch.setattr(linear_logprob_triton, "score_partials", spy)
    public = linear_logprob(hidden, weight, targets, bias=bias, temperature=0.7, impl="triton")
    assert len(calls) == 1
    torch.testing.assert_close((public.logprobs, public.entropy, public.lse, public.top1), mine)


def test_no_targets_are_empty_and_other_or_mixed_dtypes_refused():
    hidden, weight, bias, targets = inputs()
    assert [len(x) for x in score(hidden, weight, targets[:0], targets[:0], bias, 1.0, None)] == [0] * 4
    for h, w in ((hidden.double(), weight.double()), (hidden, weight.half())):
        with pytest.raises(ValueError, match="one dtype of bfloat16, float16 or float32"):
            score(h, w, targets, None, None, 1.0, None)
