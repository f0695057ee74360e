"""A head spread over two processes is the whole head: values, gradients, and the same bits on both."""

import pytest
import torch
import torch.distributed as dist
from cogrl_kernels.linear_logprob import linear_logprob
from cogrl_kernels.linear_policy_loss import linear_policy_loss
from cogrl_kernels.policy_loss import PolicyLossConfig
from cogrl_kernels.vocab_shard import VocabShard

VOCABULARY, FIRST, PADDED = 1271, 700, 700
"""Ids 0..699 on rank 0; 700..1270 on rank 1, and behind them rows that are padding."""
CONFIG = PolicyLossConfig(entropy_coef=0.05, kl_coef=0.1)
OPTIONS = {"temperature": 0.7, "softcap": 6.0}


def inputs():
    g = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(40, 24, generator=g), torch.randn(VOCABULARY, 24, generator=g) / 3
    targets = torch.randint(0, VOCABULARY, (300,), generator=g)
    rows = torch.randint(0, 40, (300,), generator=g)
    bias = torch.randn(VOCABULARY, generator=g)
    # the edges of the shards, and some of the likeliest ids
    targets[:4] = torch.tensor([0, FIRST - 1, FIRST, VOCABULARY - 1])
    targets[4:99] = (hidden @ weight.T + bias).argmax(1)[rows[4:99]]
    advantages, cuts = torch.tensor([1.0, 0.0, -1.0]), torch.tensor([0, 100, 150, 300])
    return hidden, weight, bias, targets, rows, advantages, cuts


def shard_of(rank, weight, bias):
    """Padding is filled with what would show: the largest logits of all."""
    if rank == 0:
        return weight[:FIRST], bias[:FIRST]
    extra = FIRST + PADDED - VOCABULARY
    return (
        torch.cat([weight[FIRST:], torch.full((extra, 24), 9.0)]),
        torch.cat([bias[FIRST:], torch.full((extra,), 50.0)]),
    )


def results(hidden, weight, bias, shard=None):
    _, _, _, targets, rows, advantages, cuts = inputs()
    leaves = [x.clone().requires_grad_() for x in (hidden, weight, bias)]
    given = {"rows": rows, "bias": leaves[2], "shard": shard, **OPTIONS}
    out = linear_logprob(leaves[0], leaves[1], targets, **given)
    upstream = torch.linspace(-1, 3.7, 300)
    found = {"logprobs": out.logprobs, "entropy": out.entropy, "lse": out.lse, "top1": out.top1}
    grads = torch.autograd.grad((upstream * out.logprobs + upstream.flip(0) * out.entropy).sum(), leaves)
    found |= dict(zip(("hidden", "weight", "bias"), grads, strict=True))
    old, ref = out.logprobs.detach() + 0.2, out.logprobs.detach() - 0.1
    for kind in ("sapo", "gspo"):
        config = PolicyLossConfig(kind, entropy_coef=CONFIG.entropy_coef, kl_coef=CONFIG.kl_coef)
        for name, settings in (("kl", config), ("idle", PolicyLossConfig(kind))):
            trained = linear_policy_loss(
                leaves[0],
                leaves[1],
                targets,
                advantages,
                cuts,
                config=settings,
                **given,
                old_logprobs=old,
                ref_logprobs=ref,
            )
            grads = torch.autograd.grad(3.7 * trained.loss, leaves)
            key = f"{kind} {name}"
            found |= {f"{key} loss": trained.loss, f"{key} logprobs": trained.logprobs}
            found |= {f"{key} {x}": g for x, g in zip(("hidden", "weight", "bias"), grads, strict=True)}
    return {name: x.detach() for name, x in found.items()}


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    hidden, weight, bias, *_ = inputs()
    shard = VocabShard(start=FIRST * rank, vocabulary=VOCABULARY)
    torch.save(results(hidden, *shard_of(rank, weight, bias), shard), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_agree_with_the_whole_head_and_with_each_other(tmp_path):
    torch.multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    hidden, weight, bias, *_ = inputs()
    whole = results(hidden.double(), weight.double(), bias.double())
    assert torch.equal(first["top1"], whole["top1"]) and 90 < whole["top1"].sum() < 110
    for name, expected in whole.items():
        a, b = first[name], second[name]
        if name.split()[-1] in ("weight", "bias"):
            padding = b[VOCABULARY - FIRST :]
            assert len(padding) == FIRST + PADDED - VOCABULARY and (padding == 0).all()
            a = torch.cat([a, b[: VOCABULARY - FIRST]])
        else:
            assert torch.equal(a, b), name
        error = (a.double() - expected.double()).norm() / expected.double().norm()
        assert error < 1e-5, (name, error)


def test_one_rank_with_the_whole_vocabulary_needs_no_other(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        hidden, weight, bias, *_ = inputs()
        sharded = results(hidden, weight, bias, VocabShard(0, VOCABULARY, dist.group.WORLD))
    finally:
        dist.destroy_process_group()
    for name, expected in results(hidden, weight, bias).items():
        torch.testing.assert_close(sharded[name], expected, rtol=1e-5, atol=1e-5)
