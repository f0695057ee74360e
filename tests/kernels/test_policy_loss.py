"""The packed policy loss against the padded objectives, which are the truth, over its whole argument space."""

import itertools
import math

import pytest
import torch
from cogrl_kernels.policy_loss import PolicyLossConfig, policy_loss

from cogrl.objectives.grpo import clip_fraction, grpo
from cogrl.objectives.kl import k1, k2, k3
from cogrl.objectives.reduce import fixed_length, sequence_mean, token_mean
from cogrl.objectives.reinforce import reinforce
from cogrl.objectives.sapo import sapo, sapo_gate

LENGTHS = (63, 1, 0, 40, 17, 8)
STEPS = 63


def batch(dtype=torch.float64, seed=0):
    """Ragged rollouts, padded: (logprobs, old, ref, advantages, mask). Inside a rollout some tokens are masked too."""
    g = torch.Generator().manual_seed(seed)
    old, step, ref = (torch.randn(len(LENGTHS), STEPS, generator=g, dtype=torch.float64) for _ in range(3))
    old = old.abs().neg() - 0.1
    inside = torch.arange(STEPS)[None] < torch.tensor(LENGTHS)[:, None]
    mask = inside & (torch.rand(inside.shape, generator=g) > 0.2)
    advantages = torch.tensor([1.5, -0.5, 1.0, -2.0, 0.0, 0.7])
    return (
        *((old + 0.5 * step).to(dtype), old.to(dtype), (old + 0.3 * ref).to(dtype)),
        advantages.to(dtype),
        mask,
        inside,
    )


def pack(*tensors, inside):
    cu_seqlens = torch.tensor([0, *itertools.accumulate(inside.sum(1).tolist())], dtype=torch.int32)
    return [x[inside] for x in tensors], cu_seqlens


def objective(config, logprobs, old, ref, advantages, mask, rollouts, tokens):
    loss = {
        "sapo": lambda: sapo(logprobs, old, advantages, mask, config.tau_pos, config.tau_neg),
        "grpo": lambda: grpo(logprobs, old, advantages, mask, config.clip_low, config.clip_high),
        "reinforce": lambda: reinforce(logprobs, advantages, mask),
    }[config.kind]()
    if config.kl_coef:
        loss = loss + config.kl_coef * {"k1": k1, "k2": k2, "k3": k3}[config.kl_estimator](logprobs, ref, mask)
    return {
        "sequence_mean": lambda: sequence_mean(loss, mask, rollouts),
        "token_mean": lambda: token_mean(loss, mask, tokens),
        "fixed_length": lambda: fixed_length(loss, mask, rollouts, config.length or 1),
    }[config.reduction]()


CONFIGS = [
    PolicyLossConfig(kind=kind, reduction=reduction, length=50 if reduction == "fixed_length" else None, **extra)
    for kind, reduction in itertools.product(
        ["sapo", "grpo", "reinforce"], ["sequence_mean", "token_mean", "fixed_length"]
    )
    for extra in (
        {},
        {"tau_pos": 10.0, "tau_neg": 12.0, "clip_low": 0.1, "clip_high": 0.28},
        {"kl_coef": 0.1},
        {"kl_coef": 0.1, "kl_estimator": "k2"},
        {"kl_coef": 0.1, "kl_estimator": "k1"},
    )
]


@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.kind}-{c.reduction}-{c.kl_coef}-{c.kl_estimator}")
def test_packed_equals_the_padded_objective(config, dtype, per_token):
    logprobs, old, ref, advantages, mask, inside = batch(dtype)
    padded = logprobs.clone().requires_grad_()
    expected = objective(config, padded, old, ref, advantages, mask, rollouts=24, tokens=900)
    expected.backward(torch.tensor(3.7, dtype=dtype))
    packed = logprobs.clone().requires_grad_()
    (lp, o, r, m, each), cu = pack(packed, old, ref, mask, advantages[:, None].expand_as(mask), inside=inside)
    out = policy_loss(
        lp,
        each if per_token else advantages,
        cu,
        config=config,
        old_logprobs=o,
        ref_logprobs=r,
        mask=m,
        num_tokens=torch.tensor(900),
        num_rollouts=24,
    )
    out.loss.backward(torch.tensor(3.7, dtype=dtype))
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(out.loss, expected, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(packed.grad, padded.grad, rtol=tolerance, atol=tolerance)


def test_padded_tensors_are_the_case_of_equal_steps_and_a_mask():
    logprobs, old, _, advantages, mask, _ = batch()
    config = PolicyLossConfig()
    cu = torch.arange(len(LENGTHS) + 1) * STEPS
    out = policy_loss(
        logprobs.flatten(), advantages, cu, config=config, old_logprobs=old.flatten(), mask=mask.flatten()
    )
    torch.testing.assert_close(out.loss, objective(config, logprobs, old, None, advantages, mask, len(LENGTHS), 1))


@pytest.mark.parametrize("reduction", ["sequence_mean", "token_mean"])
def test_without_counts_it_counts_what_it_was_given(reduction):
    logprobs, old, _, advantages, mask, inside = batch()
    (lp, o, m), cu = pack(logprobs, old, mask, inside=inside)
    config = PolicyLossConfig(reduction=reduction)
    out = policy_loss(lp, advantages, cu, config=config, old_logprobs=o, mask=m)
    torch.testing.assert_close(out.loss, objective(config, logprobs, old, None, advantages, mask, 6, int(mask.sum())))


def test_without_old_logprobs_the_gradient_is_reinforce():
    logprobs, _, _, advantages, mask, inside = batch()
    (lp, m), cu = pack(logprobs, mask, inside=inside)
    grads = []
    for kind in ("sapo", "grpo", "reinforce"):
        leaf = lp.clone().requires_grad_()
        out = policy_loss(leaf, advantages, cu, config=PolicyLossConfig(kind=kind), mask=m)
        out.loss.backward()
        grads.append(leaf.grad)
        assert out.metrics["ratio_max"] == 1 and out.metrics["gate_pos"] == 1 and out.metrics["effective"] == 1
    torch.testing.assert_close(grads[0], grads[2])
    torch.testing.assert_close(grads[1], grads[2])


def test_telemetry_of_sapo_is_that_of_its_gate():
    logprobs, old, ref, advantages, mask, inside = batch()
    (lp, o, r, m), cu = pack(logprobs, old, ref, mask, inside=inside)
    config = PolicyLossConfig(tau_pos=2.0, tau_neg=5.0)
    metrics = policy_loss(lp, advantages, cu, config=config, old_logprobs=o, ref_logprobs=r, mask=m).metrics
    gate = sapo_gate(logprobs, old, advantages, mask, 2.0, 5.0)
    ratio = (logprobs - old).exp()
    assert metrics["gate_pos"].item() == pytest.approx(gate[mask & (advantages > 0)[:, None]].mean().item())
    assert metrics["gate_neg"].item() == pytest.approx(gate[mask & (advantages < 0)[:, None]].mean().item())
    assert metrics["effective"].item() == pytest.approx((gate[mask] >= 0.5).double().mean().item())
    assert 0.2 < metrics["effective"] < 0.95
    assert metrics["ratio_mean"].item() == pytest.approx(ratio[mask].mean().item())
    assert metrics["ratio_max"].item() == pytest.approx(ratio[mask].max().item())
    assert metrics["kl"].item() == pytest.approx(k3(logprobs, ref, mask)[mask].mean().item())
    assert metrics["tokens"] == mask.sum() and metrics["bad"] == 0
    assert not any(value.requires_grad for value in metrics.values())


def test_telemetry_of_grpo_is_one_minus_its_clip_fraction():
    logprobs, old, _, advantages, mask, inside = batch()
    (lp, o, m), cu = pack(logprobs, old, mask, inside=inside)
    out = policy_loss(lp, advantages, cu, config=PolicyLossConfig(kind="grpo"), old_logprobs=o, mask=m)
    clipped = clip_fraction(logprobs, old, advantages, mask).item()
    assert 0.1 < clipped < 0.9 and out.metrics["effective"].item() == pytest.approx(1 - clipped)
    assert out.metrics["kl"].isnan()


@pytest.mark.parametrize("kind", ["sapo", "grpo", "reinforce"])
@pytest.mark.parametrize("poison", [199.0, math.nan, math.inf, -math.inf])
def test_a_masked_token_is_harmless_whatever_it_holds(kind, poison):
    logprobs = torch.tensor([-1.0, poison, -1.0, -2.0], requires_grad=True)
    mask = torch.tensor([1, 0, 1, 1], dtype=torch.uint8)
    out = policy_loss(
        logprobs,
        torch.tensor([1.0, -1.0]),
        torch.tensor([0, 2, 4]),
        config=PolicyLossConfig(kind=kind, kl_coef=0.1),
        old_logprobs=torch.tensor([-1.2, -1.0, -1.2, -1.0]),
        ref_logprobs=torch.tensor([-1.2, -1.0, -1.2, -1.0]),
        mask=mask,
    )
    out.loss.backward()
    assert out.loss.isfinite() and logprobs.grad.isfinite().all() and logprobs.grad[1] == 0
    assert (logprobs.grad[[0, 2, 3]] != 0).all()
    assert out.metrics["bad"] == 0 and all(value.isfinite() for value in out.metrics.values())


@pytest.mark.parametrize("kind", ["sapo", "grpo"])
@pytest.mark.parametrize("log_ratio", [90.0, -90.0, math.inf, -math.inf])
def test_a_clamped_token_has_zero_gradient_and_the_loss_of_the_objective(kind, log_ratio):
    logprobs = torch.tensor([-1.0 + log_ratio, -0.9], requires_grad=True)
    old, mask, config = torch.full((2,), -1.0), torch.ones(1, 2).bool(), PolicyLossConfig(kind=kind)
    for advantages in (torch.ones(1), -torch.ones(1)):
        out = policy_loss(logprobs, advantages, torch.tensor([0, 2]), config=config, old_logprobs=old)
        (grad,) = torch.autograd.grad(out.loss, logprobs)
        assert out.loss.isfinite() and grad[0] == 0 and grad[1] != 0
        expected = objective(config, logprobs[None], old[None], None, advantages, mask, 1, 2)
        torch.testing.assert_close(out.loss, expected)


def test_bad_tokens_are_counted_and_never_hidden():
    old = torch.tensor([-1.0, -1.0, -1.0, -1.0])
    out = policy_loss(
        torch.tensor([-0.9, math.nan, -math.inf, -1.0]),
        torch.ones(1),
        torch.tensor([0, 4]),
        config=PolicyLossConfig(),
        old_logprobs=old,
    )
    assert out.loss.isnan() and out.metrics["bad"] == 2
    assert out.metrics["ratio_mean"].item() == pytest.approx((math.exp(0.1) + 1) / 2)


def test_nothing_to_train_is_zero_and_still_in_the_graph():
    for n, cu in ((0, [0]), (0, [0, 0, 0]), (3, [0, 3])):
        logprobs = torch.randn(n, requires_grad=True)
        for reduction in ("sequence_mean", "token_mean"):
            out = policy_loss(
                logprobs,
                torch.ones(len(cu) - 1),
                torch.tensor(cu),
                config=PolicyLossConfig(reduction=reduction),
                mask=torch.zeros(n).bool(),
            )
            out.loss.backward()
            assert out.loss == 0 and torch.equal(logprobs.grad, torch.zeros(n))
            assert out.metrics["ratio_max"] == 0 and out.metrics["tokens"] == 0


def test_bfloat16_logprobs_are_computed_in_float32():
    logprobs, old, _, advantages, _, inside = batch(torch.bfloat16)
    (lp, o), cu = pack(logprobs, old, inside=inside)
    out = policy_loss(lp, advantages, cu, config=PolicyLossConfig(), old_logprobs=o)
    exact = policy_loss(lp.double(), advantages.double(), cu, config=PolicyLossConfig(), old_logprobs=o.double())
    assert out.loss.dtype == torch.float32
    torch.testing.assert_close(out.loss.double(), exact.loss, rtol=1e-5, atol=1e-6)


REFUSED = [
    ({"logprobs": torch.zeros(2, 2)}, "logprobs is"),
    ({"logprobs": torch.zeros(4, dtype=torch.long)}, "logprobs is"),
    ({"cu_seqlens": torch.tensor([0.0, 2.0, 4.0])}, "cu_seqlens is"),
    ({"cu_seqlens": torch.tensor([0, 2, 3])}, r"must rise from 0 to 4.*\[0, 2, 3\]"),
    ({"cu_seqlens": torch.tensor([0, 5, 4])}, "must rise"),
    ({"advantages": torch.zeros(3)}, r"advantages are \(3,\)"),
    ({"advantages": torch.zeros(2, 1)}, r"advantages are \(2, 1\)"),
    ({"old_logprobs": torch.zeros(3)}, "old_logprobs"),
    ({"mask": torch.ones(4)}, "mask is torch.float32"),
    ({"mask": torch.ones(3).bool()}, r"mask is \(3,\)"),
    ({"config": PolicyLossConfig(kl_coef=0.1)}, "needs ref_logprobs"),
    ({"num_rollouts": -1}, "num_rollouts=-1"),
    ({"impl": "chunked"}, "unknown impl='chunked'"),
]


@pytest.mark.parametrize("change, message", REFUSED, ids=[m for _, m in REFUSED])
def test_what_does_not_fit_is_refused(change, message):
    arguments = {
        "logprobs": torch.zeros(4),
        "advantages": torch.zeros(2),
        "cu_seqlens": torch.tensor([0, 2, 4]),
        "config": PolicyLossConfig(),
    } | change
    with pytest.raises(ValueError, match=message):
        policy_loss(**arguments)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"kind": "gspo"}, "kind='gspo' is unknown; pass one of sapo, grpo, reinforce"),
        ({"reduction": "mean"}, "reduction='mean'"),
        ({"kl_estimator": "k4"}, "kl_estimator='k4'"),
        ({"tau_pos": 0.0}, "tau_pos=0.0"),
        ({"clip_low": -0.1}, "clip_low=-0.1"),
        ({"reduction": "fixed_length"}, "length=None"),
        ({"length": 8}, "length=8"),
        ({"reduction": "fixed_length", "length": 0}, "length=0"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PolicyLossConfig(**options)


def test_triton_says_that_it_is_not_there_yet():
    with pytest.raises(NotImplementedError, match="policy_loss has no Triton kernel in this version"):
        policy_loss(torch.zeros(1), torch.zeros(1), torch.tensor([0, 1]), config=PolicyLossConfig(), impl="triton")
