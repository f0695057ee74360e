"""The reference of the packed policy loss against loops over floats."""

import itertools
import math

import pytest
import torch
from cogrl_kernels.policy_loss import policy_loss
from policy_cases import EVERYTHING, KINDS, UPSTREAM, bare, batch, check_against_truth, clamped, config, solve
from policy_oracle import truth

TAUS = [(1.0, 1.05), (0.3, 12.0), (12.0, 0.3)]
CASES = [(config(kind, reduction), bare) for kind, reduction in itertools.product(KINDS, [None, "token_mean"])]
CASES += [(config(kind, r, **EVERYTHING), batch) for kind in KINDS for r in ("sequence_mean", "fixed_length")]
CASES += [(config("sapo", tau_pos=p, tau_neg=n), bare) for p, n in TAUS]
CASES += [(config("sapo", "token_mean", **EVERYTHING, kl_estimator=k), batch) for k in ("k1", "k2", "k3")]
CASES += [(config(kind, clip_low=0.05, clip_high=0.4), bare) for kind in ("grpo", "dapo", "dr_grpo", "gspo")]
CASES += [
    (config("cispo", clip_high=0.1), bare),
    (config("gspo", clip_low=0.01, clip_high=0.02, is_cap=math.inf, n_routes=2), batch),
]


@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("settings, call", CASES)
def test_the_reference_equals_loops_over_floats(settings, call, dtype, per_token):
    check_against_truth(call(per_token=per_token), settings, dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_given_counts_are_the_denominators(kind):
    counts = {"num_tokens": 5000, "num_rollouts": 24}
    check_against_truth(batch(), config(kind, **EVERYTHING), torch.float64, **counts)
    by_number = solve(batch(), config(kind, **EVERYTHING), **counts)
    by_tensor = solve(batch(), config(kind, **EVERYTHING), **{k: torch.tensor(x) for k, x in counts.items()})
    torch.testing.assert_close(by_tensor[1], by_number[1], rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("shape", ["rollout", "token", "scalar"])
@pytest.mark.parametrize("per_token", [False, True])
def test_temperatures_may_differ_by_rollout_and_by_token(shape, per_token):
    call = bare(per_token=per_token)
    size = {"rollout": (6,), "token": call["logprobs"].shape, "scalar": ()}[shape]
    g = torch.Generator().manual_seed(3)
    pos, neg = (torch.rand(size, generator=g).double() * 11.7 + 0.3 for _ in range(2))
    check_against_truth(call, config(tau_pos=pos, tau_neg=neg), torch.float64)
    check_against_truth(call, config(tau_pos=pos, tau_neg=1.7), torch.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_without_old_logprobs_the_gradient_is_reinforce(kind):
    call = bare() | {"old_logprobs": None}
    out, _ = check_against_truth(call, config(kind), torch.float64)
    plain = solve(call, config("reinforce", config(kind).denominator))[1]
    torch.testing.assert_close(solve(call, config(kind))[1], plain, rtol=1e-12, atol=1e-16)
    for name in ("ratio_max", "ratio_min", "gate_pos", "gate_neg", "effective"):
        assert out.metrics[name] == 1, name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [[1, 5], [2, 2, 2], [3, 0, 3]])
def test_a_split_with_global_counts_is_the_full_batch(kind, sizes):
    call, settings = batch(), config(kind, **EVERYTHING)
    counts = {"num_tokens": int(call["mask"].sum()), "num_rollouts": 6}
    whole, whole_grad, whole_entropy = solve(call, settings)
    cu, losses, grads, first = call["cu_seqlens"].tolist(), [], [], 0
    for size in sizes:
        rows, start, stop = slice(first, first + size), cu[first], cu[first + size]
        part = {k: x[rows] if k in ("advantages", "routes") else x[start:stop] for k, x in call.items()}
        part["cu_seqlens"] = call["cu_seqlens"][first : first + size + 1] - start
        out, *both = solve(part, settings, **counts)
        losses.append(out.loss.detach())
        grads.append(both)
        first += size
    torch.testing.assert_close(sum(losses), whole.loss.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.cat([g for g, _ in grads]), whole_grad, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(torch.cat([g for _, g in grads]), whole_entropy, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_permuting_rollouts_permutes_gradients(kind):
    lengths, order = (5, 3, 0, 7), [2, 0, 3, 1]
    call = batch(lengths, poison=False)
    starts = [0, 5, 8, 8]
    index = torch.cat([torch.arange(starts[i], starts[i] + lengths[i]) for i in order])
    moved = {k: x[order] if k in ("advantages", "routes") else x[index] for k, x in call.items() if k != "cu_seqlens"}
    moved["cu_seqlens"] = torch.tensor([0, *itertools.accumulate(lengths[i] for i in order)])
    settings = config(kind, **EVERYTHING)
    out, grad, _ = solve(call, settings)
    moved_out, moved_grad, _ = solve(moved, settings)
    torch.testing.assert_close(moved_grad, grad[index], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(moved_out.loss, out.loss, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_no_advantage_is_no_signal(kind):
    call = bare() | {"advantages": torch.zeros(6, dtype=torch.float64)}
    out, grad, _ = solve(call, config(kind))
    assert out.loss == 0 and torch.equal(grad, torch.zeros_like(grad))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "cispo"])  # whose gradient is not of its value
@pytest.mark.parametrize("per_token", [False, True])
def test_gradcheck(kind, per_token):
    call = batch((5, 0, 7, 3), per_token=per_token, poison=False, seed=5)
    leaves = [call.pop(name).requires_grad_() for name in ("logprobs", "entropy")]
    # wide bounds for gspo: inside its own every sequence here is clipped
    clips = {"clip_low": 0.4, "clip_high": 0.4} if kind == "gspo" else {}
    settings = config(kind, **EVERYTHING, **clips)
    assert torch.autograd.gradcheck(lambda lp, h: policy_loss(lp, entropy=h, **call, config=settings).loss, leaves)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("poison", [199.0, math.nan, math.inf, -math.inf])
def test_a_masked_token_is_harmless_whatever_it_holds(kind, poison):
    call = batch((9, 14), poison=False)
    call["mask"] = torch.arange(23) != 4
    clean = solve(call, config(kind, **EVERYTHING))
    for name in ("logprobs", "old_logprobs", "ref_logprobs", "rollout_logprobs", "entropy"):
        call[name] = call[name].clone()
        call[name][4] = poison
    dirty = solve(call, config(kind, **EVERYTHING))
    assert dirty[0].loss.item() == clean[0].loss.item() and dirty[0].metrics["bad"] == 0
    assert torch.equal(dirty[1], clean[1]) and torch.equal(dirty[2], clean[2])
    assert torch.equal(dirty[0].metrics.table, clean[0].metrics.table)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("log_ratio", [20.5, 199.0, -199.0])
def test_a_clamped_token_has_the_loss_of_the_limit_and_no_gradient(kind, sign, log_ratio):
    check_against_truth(*clamped(kind, sign, log_ratio), torch.float64)
    call, settings = clamped(kind, sign, log_ratio, kl_coef=0.0)
    assert solve(call, settings)[1][2] == (0 if kind != "reinforce" else -sign / 5 * UPSTREAM)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["logprobs", "old_logprobs", "ref_logprobs", "rollout_logprobs", "entropy"])
def test_a_bad_token_gives_finite_loss_and_zero_gradient_and_is_counted(kind, bad, where):
    call = batch((9, 14), poison=False) | {"mask": None}
    call[where][4] = bad
    out, grad, entropy_grad = solve(call, config(kind, **EVERYTHING, **({"clip_low": 1.0} if kind == "gspo" else {})))
    assert out.loss.isfinite() and out.metrics["bad"] == 1 and out.metrics["tokens"] == 23
    assert grad.isfinite().all() and grad[4] == 0 and entropy_grad[4] == 0
    assert (entropy_grad != 0).sum() == 22 and (grad != 0).sum() == 22
    assert all(value.isfinite() for value in out.metrics.values())


def test_nothing_to_train_is_zero_and_still_in_the_graph():
    for (n, cu), kind, r in itertools.product(((0, [0]), (0, [0, 0, 0]), (3, [0, 3])), KINDS, (None, "token_mean")):
        logprobs = torch.randn(n, requires_grad=True)
        mask = torch.zeros(n).bool()
        out = policy_loss(logprobs, torch.ones(len(cu) - 1), torch.tensor(cu), config=config(kind, r), mask=mask)
        out.loss.backward()
        assert out.loss == 0 and torch.equal(logprobs.grad, torch.zeros(n))
        assert out.metrics["tokens"] == 0 and out.metrics["gate"].isnan() and out.metrics["ratio_max"].isnan()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    call = {k: x.to(dtype) if x.is_floating_point() else x for k, x in batch((40, 9), poison=False).items()}
    settings = config(**EVERYTHING)
    expected = truth(call, settings)
    out, grad, _ = solve(call, settings, dtype)
    assert out.loss.dtype == torch.float32 and grad.dtype == dtype
    assert out.loss.item() == pytest.approx(expected.loss, rel=1e-5)
    wanted = UPSTREAM * torch.tensor(expected.logprob_grad)
    assert (grad.float() - wanted).norm() <= torch.finfo(dtype).eps * wanted.norm()


@pytest.mark.parametrize("kind", KINDS)
def test_strided_tensors_give_the_same(kind):
    call = batch((9, 34))
    strided = {k: torch.stack([x, x], -1)[..., 0] for k, x in call.items()}
    assert not strided["logprobs"].is_contiguous()
    (out, grad, _), (other, other_grad, _) = (solve(x, config(kind, **EVERYTHING)) for x in (call, strided))
    torch.testing.assert_close((other_grad, other.loss), (grad, out.loss), rtol=1e-12, atol=1e-14)


def test_the_old_reference_and_rollout_policies_get_no_gradient():
    call = batch((9, 14), poison=False)
    others = ("old_logprobs", "ref_logprobs", "rollout_logprobs", "advantages")
    leaves = {name: call[name].clone().requires_grad_() for name in (*others, "logprobs")}
    policy_loss(**(call | leaves), config=config(**EVERYTHING)).loss.backward()
    assert leaves["logprobs"].grad is not None and all(leaves[name].grad is None for name in others)
