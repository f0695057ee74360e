"""`linear_logprob` as an operator: the same in any batch up to rounding, and what compilers and autograd ask of it."""

import pytest
import torch
from cogrl_kernels import linear_logprob as module
from cogrl_kernels.linear_logprob import linear_logprob


def inputs(rows=300, vocabulary=2500, width=48, seed=0):
    g = torch.Generator().manual_seed(seed)
    hidden, weight = torch.randn(rows, width, generator=g), torch.randn(vocabulary, width, generator=g) / 4
    return hidden, weight, torch.randint(0, vocabulary, (rows,), generator=g)


def test_permuted_rows_score_the_same_up_to_rounding():
    hidden, weight, targets = inputs()
    order = torch.randperm(300, generator=torch.Generator().manual_seed(1))
    straight = linear_logprob(hidden, weight, targets, temperature=0.7)
    gathered = linear_logprob(hidden, weight, targets[order], rows=order, temperature=0.7)
    moved = linear_logprob(hidden[order], weight, targets[order], temperature=0.7)
    for name in ("logprobs", "entropy", "lse", "top1"):
        torch.testing.assert_close(getattr(gathered, name), getattr(straight, name)[order])
        torch.testing.assert_close(getattr(moved, name), getattr(straight, name)[order])


@pytest.mark.parametrize("count", [1, 5, 255, 256, 257])
def test_a_token_scores_the_same_up_to_rounding_alone_and_among_others(count):
    hidden, weight, targets = inputs()
    everything = linear_logprob(hidden, weight, targets)
    some = linear_logprob(hidden[:count], weight, targets[:count])
    torch.testing.assert_close(some.logprobs, everything.logprobs[:count])
    torch.testing.assert_close(some.entropy, everything.entropy[:count])


def test_scoring_and_training_agree_up_to_rounding():
    hidden, weight, targets = inputs()
    with torch.no_grad():
        scored = linear_logprob(hidden, weight, targets)
    trained = linear_logprob(hidden.requires_grad_(), weight.requires_grad_(), targets)
    assert trained.logprobs.requires_grad
    torch.testing.assert_close(scored.logprobs, trained.logprobs.detach())


def test_memory_order_of_the_inputs_does_not_matter():
    hidden, weight, targets = inputs(rows=40)
    rows = torch.arange(40).repeat_interleave(2)[::2]
    results = []
    for h, w, t in (
        (hidden, weight, targets),
        (hidden.T.contiguous().T, weight.T.contiguous().T, targets.repeat_interleave(2)[::2]),
        (torch.stack([hidden, hidden], 2)[..., 0], torch.cat([weight, weight], 1)[:, :48], targets),
    ):
        h, w = h.detach().requires_grad_(), w.detach().requires_grad_()
        out = linear_logprob(h, w, t, rows=rows, bias=torch.ones(2500, 2)[:, 0], temperature=torch.ones(40, 2)[:, 1])
        (out.logprobs.sum() + 0.1 * out.entropy.sum()).backward()
        results.append((out.logprobs, h.grad, w.grad))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("autocast", [None, torch.bfloat16])
@pytest.mark.parametrize("softcap, biased, gathered", [(None, False, False), (3.0, True, True)])
def test_opcheck(softcap, biased, gathered, autocast):
    hidden, weight, targets = inputs(rows=6, vocabulary=11, width=4)
    leaves = [x.requires_grad_() for x in (hidden, weight, torch.randn(11))]
    rows = torch.tensor([0, 0, 5, 2, 1, 1]) if gathered else None
    given = leaves[0], leaves[1], targets, rows, leaves[2] if biased else None, torch.full((6,), 0.7), softcap
    torch.library.opcheck(module._stats, (*given, None, 0, 11, autocast, "chunked"))


def test_compiled_in_one_graph_it_gives_the_same_values_and_gradients():
    hidden, weight, targets = inputs(rows=40, vocabulary=63, width=16)
    bias = torch.randn(63)

    def objective(h, w, b, t, temperature):
        out = linear_logprob(h * 2, w, t, bias=b, temperature=temperature, softcap=9.0)
        return (out.logprobs * out.logprobs.detach()).sum() + out.entropy.sum(), out.top1

    results = []
    for function in (objective, torch.compile(objective, fullgraph=True, backend="aot_eager")):
        leaves = [x.clone().requires_grad_() for x in (hidden, weight, bias)]
        for temperature in (0.7, torch.linspace(0.5, 2, 40)):
            loss, top1 = function(*leaves, targets, temperature)
            loss.backward()
            results.append((loss.detach(), top1, [x.grad.clone() for x in leaves]))
    torch.testing.assert_close(results[2:], results[:2])


def test_a_graph_kept_alive_can_be_used_twice():
    hidden, weight, targets = inputs(rows=40)
    hidden.requires_grad_()
    out = linear_logprob(hidden, weight, targets)
    first = torch.autograd.grad(out.logprobs.sum(), hidden, retain_graph=True)[0]
    repeated = torch.autograd.grad(3.7 * out.logprobs.sum(), hidden)[0]
    torch.testing.assert_close(repeated, 3.7 * first)


def test_second_derivatives_are_refused_and_not_wrong():
    hidden, weight, targets = inputs(rows=4)
    hidden.requires_grad_()
    out = linear_logprob(hidden, weight, targets)
    slope = torch.autograd.grad(out.logprobs.square().sum(), hidden, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="linear_logprob_grad"):
        slope.square().sum().backward()
