"""Confidence of windows, the lowest of a completion, and weights of advantages. Dn: a defect of HyPeR's public code."""

import pytest
import torch

from cogrl.objectives.advantages import group_normalised
from cogrl.objectives.confidence import ConfidenceWeights, lowest_group_confidence, window_confidences


def completions(seed=0, b=12, t=30):
    """Log-probabilities and the tokens that count, with holes, rows of any length and one without a token."""
    rng = torch.Generator().manual_seed(seed)
    logprobs = torch.rand(b, t, generator=rng).clamp(min=0.01).log()
    lengths = torch.randint(0, t + 1, (b, 1), generator=rng)
    mask = (torch.rand(b, t, generator=rng) < 0.7) & (torch.arange(t) < lengths)
    mask[3] = False
    return logprobs, mask


@pytest.mark.parametrize("window", [1, 2, 5, 13, 40])
def test_windows_are_those_that_one_counts_by_hand(window):
    logprobs, mask = completions()
    means, lowest = window_confidences(logprobs, mask, window), lowest_group_confidence(logprobs, mask, window)
    for row in range(len(mask)):
        kept = logprobs[row][mask[row]].exp()
        expected = [kept[i - window : i].mean().item() for i in range(window, len(kept) + 1)]
        found = means[row][~means[row].isnan()].tolist()
        assert found == pytest.approx(expected, abs=1e-6)
        assert means[row, : window - 1].isnan().all() and means[row, len(kept) :].isnan().all()
        if not len(kept):
            assert lowest[row].isnan()
        else:
            assert lowest[row].item() == pytest.approx(min(expected, default=kept.mean().item()), abs=1e-6)


def test_d7_a_short_sure_completion_is_not_less_sure_than_a_long_unsure_one():
    """In the public code windows behind the end counted as 0, so that 400 tokens at 0.9 came to 0."""
    logprobs, mask = torch.full((2, 1024), 0.45).log(), torch.ones(2, 1024, dtype=torch.bool)
    logprobs[0, :400], mask[0, 400:] = torch.tensor(0.9).log(), False
    assert lowest_group_confidence(logprobs, mask, 512).tolist() == pytest.approx([0.9, 0.45])
    assert lowest_group_confidence(logprobs, mask, 64).tolist() == pytest.approx([0.9, 0.45])


def test_d7_the_last_tokens_are_in_a_window():
    """In the public code those behind the last whole stride were in none."""
    logprobs, mask = torch.zeros(1, 100), torch.ones(1, 100, dtype=torch.bool)
    logprobs[0, -1] = torch.tensor(0.2).log()
    assert lowest_group_confidence(logprobs, mask, 64).item() == pytest.approx(1 - 0.8 / 64)


def test_long_completions_do_not_lose_what_sums_of_float32_would():
    logprobs, mask = torch.full((1, 20_000), 0.999).log(), torch.ones(1, 20_000, dtype=torch.bool)
    means = window_confidences(logprobs, mask, 2)[:, 1:]
    assert (means - 0.999).abs().max() < 1e-6


def test_d8_the_weights_change_the_advantages_and_keep_their_signs():
    """In the public code they only said whether a completion counted at all."""
    logprobs, mask = completions(b=16)
    mask[:] = True
    weights = ConfidenceWeights(window=4)(logprobs, mask, torch.zeros(16, dtype=torch.bool))
    lgc = lowest_group_confidence(logprobs, mask, 4)
    assert torch.equal(weights.argsort(), lgc.argsort()) and len(weights.unique()) == 16
    assert weights.min() > 0.5 and weights.max() < 1.5
    z = (lgc - lgc.mean()) / lgc.std(correction=0)
    torch.testing.assert_close(weights, 0.5 + z.sigmoid(), rtol=0, atol=1e-4)
    advantages = group_normalised(torch.rand(4, 4), torch.ones(4, 4, dtype=torch.bool)).flatten()
    assert torch.equal((advantages * weights).sign(), advantages.sign())


def test_an_aborted_completion_weighs_nothing_and_does_not_move_the_weights_of_others():
    logprobs, mask = completions(b=8)
    mask[:] = True
    aborted = torch.tensor([False] * 6 + [True] * 2)
    weights = ConfidenceWeights(4)(logprobs, mask, aborted)
    assert (weights[6:] == 0).all() and (weights[:6] > 0.5).all()
    torch.testing.assert_close(weights[:6], ConfidenceWeights(4)(logprobs[:6], mask[:6], aborted[:6]))
    assert ConfidenceWeights(4)(logprobs, mask, torch.ones(8, dtype=torch.bool)).tolist() == [0.0] * 8


def test_where_all_are_as_sure_or_nothing_was_drawn_the_weight_is_one():
    logprobs, mask = torch.full((4, 8), 0.5).log(), torch.ones(4, 8, dtype=torch.bool)
    none = torch.zeros(4, dtype=torch.bool)
    assert ConfidenceWeights(4)(logprobs, mask, none).tolist() == pytest.approx([1.0] * 4, abs=1e-3)
    mask[0] = False
    assert ConfidenceWeights(4)(logprobs, mask, none)[0] == 1.0
    assert ConfidenceWeights(4)(logprobs, torch.zeros_like(mask), none).tolist() == [1.0] * 4


def test_d9_nothing_reward_like_keeps_a_graph():
    logprobs, mask = completions()
    logprobs.requires_grad_()
    assert not lowest_group_confidence(logprobs, mask, 4).requires_grad
    assert not ConfidenceWeights(4)(logprobs, mask, torch.zeros(12, dtype=torch.bool)).requires_grad


def test_a_window_of_no_token_is_refused():
    with pytest.raises(ValueError, match=r"confidence_weights\.window=0 must be at least 1"):
        ConfidenceWeights(0)
