"""The float64 reference that providers are compared with is itself compared with autograd on all logits."""

import pytest
import torch
from cogrl_bench import linear_logprob, linear_policy_loss, policy_loss, truth
from cogrl_bench.data import Random, lengths
from cogrl_bench.operation import Head


def logprobs_of(problem, hidden, weight):
    z = hidden @ weight.T
    softcap = problem.setting.head.softcap
    z = z if softcap is None else softcap * torch.tanh(z / softcap)
    return torch.log_softmax(z, -1)


@pytest.mark.parametrize("softcap", [None, 5.0])
@pytest.mark.parametrize("block", [16, 256])
def test_blocks_of_rows_give_what_autograd_gives_on_all_logits(setting, monkeypatch, softcap, block):
    monkeypatch.setattr(truth, "BLOCK", block)
    problem = linear_logprob.problem(setting(head=Head(24, 301, softcap)))
    hidden, weight = (problem[name].detach().double().requires_grad_() for name in ("hidden", "weight"))
    logp = logprobs_of(problem, hidden, weight)
    chosen = logp.gather(1, problem["targets"][:, None]).squeeze(1)
    (-chosen.mean()).backward()
    true = linear_logprob.true(problem)
    torch.testing.assert_close(true["logprobs"], chosen.detach())
    torch.testing.assert_close(true["entropy"], -(logp.exp() * logp).sum(-1).detach())
    torch.testing.assert_close(true["grad hidden"], hidden.grad)
    torch.testing.assert_close(true["grad weight"], weight.grad)


def test_a_frozen_head_has_no_gradient_to_check(setting):
    problem = linear_policy_loss.problem(setting(frozen_head=True))
    assert set(problem.leaves) == {"hidden"}
    assert "grad weight" not in linear_policy_loss.true(problem)


def test_the_policy_loss_is_a_float_loop(setting):
    problem = policy_loss.problem(setting(head=None, lengths="long-tailed", dtype=torch.float64))
    starts, total = problem["cu_seqlens"].tolist(), 0.0
    for i, advantage in enumerate(problem["advantages"].tolist()):
        tokens = range(starts[i], starts[i + 1])
        tau = 1.0 if advantage > 0 else 1.05
        for t in tokens:
            x = tau * ((problem["logprobs"][t] - problem["old_logprobs"][t]).exp().item() - 1)
            total -= 4 / tau / (1 + torch.tensor(-x).exp().item()) * advantage / len(tokens) / len(starts[1:])
    assert policy_loss.true(problem)["objective"].item() == pytest.approx(total, rel=1e-6)


def test_problems_are_off_policy_peaked_and_the_same_for_a_seed(setting):
    problem, repeated = (linear_policy_loss.problem(setting(tokens=400)) for _ in range(2))
    assert all(torch.equal(problem[name], repeated[name]) for name in problem.tensors)
    true = linear_policy_loss.true(problem)
    log_ratio = true["logprobs"] - problem["old_logprobs"].double()
    assert 0.3 < log_ratio.std() < 0.8
    assert true["entropy"].mean() < torch.tensor(301.0).log() / 2
    assert (problem["advantages"] > 0).any() and (problem["advantages"] < 0).any()


def test_lengths_fill_the_tokens_whatever_their_shape(setting):
    for shape, share in (("uniform", 0.0), ("long-tailed", 0.5)):
        chosen = setting(tokens=1001, rollouts=7, lengths=shape, zero_advantages=share)
        found = lengths(chosen, Random(chosen))
        assert found.sum() == 1001 and (found >= 0).all()
        assert (found.max() - found.min() <= 1) == (shape == "uniform")
    silent = linear_policy_loss.problem(setting(zero_advantages=0.5))["advantages"]
    assert (silent == 0).sum() == 2
