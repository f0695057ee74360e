"""Log-probabilities of the masked-in tokens and of no others."""

import pytest
import torch

from cogrl.lm_head import TokenStates
from cogrl.lm_head import token_logprobs as packed_logprobs

IMPLS = pytest.mark.parametrize("impl", ["reference", "chunked", "auto"])


def inputs(b=3, t=9, d=8, v=63, seed=0):
    g = torch.Generator().manual_seed(seed)
    hidden = torch.randn(b, t, d, generator=g).requires_grad_()
    weight = torch.randn(v, d, generator=g).requires_grad_()
    targets = torch.randint(0, v, (b, t), generator=g)
    mask = torch.arange(t)[None] < torch.tensor([t, 4, 0])[:, None]
    return hidden, weight, targets, mask


def token_logprobs(hidden, weight, targets, mask, *args, **kwargs):
    """With the state of token (i, j) at `hidden[i, j]`."""
    states = TokenStates(hidden.flatten(0, 1), mask.flatten().nonzero().squeeze(1))
    return packed_logprobs(states, weight, targets, mask, *args, **kwargs)


@IMPLS
@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_it_equals_log_softmax_where_the_mask_is_true_and_zero_elsewhere(impl, temperature):
    hidden, weight, targets, mask = inputs()
    out = token_logprobs(hidden, weight, targets, mask, temperature, impl=impl)
    full = (hidden.double() @ weight.double().T / temperature).log_softmax(-1)
    expected = full.gather(2, targets[..., None]).squeeze(2) * mask
    torch.testing.assert_close(out.logprobs.double(), expected, rtol=0, atol=2e-5)
    torch.testing.assert_close(out.entropy.double(), -(full.exp() * full).sum(2) * mask, rtol=0, atol=2e-5)
    assert (out.logprobs[~mask] == 0).all() and (out.entropy[~mask] == 0).all()


@IMPLS
def test_only_masked_in_states_get_a_gradient(impl):
    hidden, weight, targets, mask = inputs()
    out = token_logprobs(hidden, weight, targets, mask, impl=impl)
    (out.logprobs.sum() + out.entropy.sum()).backward()
    assert (hidden.grad[~mask] == 0).all() and (hidden.grad[mask] != 0).any(1).all()
    assert weight.grad.norm() > 0


@IMPLS
@pytest.mark.parametrize("junk", [-100, 10**6])
def test_what_is_under_the_mask_never_matters(impl, junk):
    hidden, weight, targets, mask = inputs()
    clean = token_logprobs(hidden, weight, targets, mask, impl=impl)
    dirty_hidden = hidden.detach().masked_fill(~mask[..., None], float("nan")).requires_grad_()
    out = token_logprobs(dirty_hidden, weight, targets.masked_fill(~mask, junk), mask, impl=impl)
    torch.testing.assert_close((out.logprobs, out.entropy), (clean.logprobs, clean.entropy))
    out.logprobs.sum().backward()
    assert dirty_hidden.grad.isfinite().all() and weight.grad.isfinite().all()


@IMPLS
def test_an_empty_mask_is_zero_and_keeps_every_parameter_in_the_graph(impl):
    hidden, weight, targets, mask = inputs()
    bias = torch.zeros(63, requires_grad=True)
    out = token_logprobs(hidden, weight, targets, torch.zeros_like(mask), bias=bias, impl=impl)
    assert torch.equal(out.logprobs, torch.zeros(3, 9))
    (out.logprobs.sum() + out.entropy.sum()).backward()
    for parameter in (hidden, weight, bias):
        assert torch.equal(parameter.grad, torch.zeros_like(parameter))


def test_targets_shifted_by_one_and_another_temperature_show():
    hidden, weight, targets, mask = inputs()
    right = token_logprobs(hidden, weight, targets, mask).logprobs
    assert (right - token_logprobs(hidden, weight, targets.roll(1, 1), mask).logprobs)[mask].abs().mean() > 0.1
    assert (right - token_logprobs(hidden, weight, targets, mask, temperature=0.7).logprobs)[mask].abs().mean() > 0.1


def test_bias_and_softcap_reach_the_logits():
    hidden, weight, targets, mask = inputs()
    bias = torch.randn(63)
    out = token_logprobs(hidden, weight, targets, mask, 0.7, bias, 3.0)
    full = (3.0 * torch.tanh((hidden @ weight.T + bias) / 3.0) / 0.7).log_softmax(-1)
    torch.testing.assert_close(out.logprobs, full.gather(2, targets[..., None]).squeeze(2) * mask, rtol=0, atol=2e-5)


def test_a_trained_id_outside_the_vocabulary_is_refused():
    hidden, weight, targets, mask = inputs()
    targets[0, 0] = 63
    with pytest.raises(ValueError, match=r"targets has entries outside \[0, 63\)"):
        token_logprobs(hidden, weight, targets, mask)


def test_without_and_with_gradients_a_batch_scores_the_same_up_to_rounding():
    hidden, weight, targets, mask = inputs()
    with torch.no_grad():
        old = token_logprobs(hidden, weight, targets, mask, 0.9).logprobs
    torch.testing.assert_close(token_logprobs(hidden, weight, targets, mask, 0.9).logprobs, old)
