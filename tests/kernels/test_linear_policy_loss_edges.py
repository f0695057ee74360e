"""`linear_policy_loss` at its edges: what is frozen, empty, no number or refused, and what autograd may ask for."""

import pytest
import torch
from cogrl_kernels import linear_policy_op as operator
from cogrl_kernels import linear_policy_pass as module
from cogrl_kernels.head_chunks import CHUNK_ROWS
from cogrl_kernels.linear_logprob import linear_logprob
from cogrl_kernels.linear_policy_loss import linear_policy_loss
from cogrl_kernels.policy_loss import PolicyLossConfig, policy_loss

CONFIG = PolicyLossConfig(entropy_coef=0.1)


def inputs(n=300, vocabulary=1300, width=24, seed=0):
    g = torch.Generator().manual_seed(seed)
    hidden, weight = torch.randn(n, width, generator=g), torch.randn(vocabulary, width, generator=g) / 3
    targets, cuts = torch.randint(0, vocabulary, (n,), generator=g), torch.tensor([0, n // 3, n // 2, n])
    return hidden.requires_grad_(), weight.requires_grad_(), targets, torch.tensor([1.0, -1.0, 0.5]), cuts


def gradients(out, *leaves, upstream=1.0):
    return torch.autograd.grad(upstream * out.loss, leaves)


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_what_is_frozen_costs_no_product_and_changes_no_other_gradient(monkeypatch, frozen):
    hidden, weight, *rest = inputs()
    bias = torch.zeros(1300, requires_grad=True)
    everything = gradients(linear_policy_loss(hidden, weight, *rest, config=CONFIG, bias=bias), hidden, weight, bias)
    leaves = [hidden, weight, bias]
    leaves[frozen] = leaves[frozen].detach()
    made = {"accumulate_": 0, "product": 0}
    for name, function in {name: getattr(module, name) for name in made}.items():

        def counted(*args, name=name, function=function):
            made[name] += 1
            return function(*args)

        monkeypatch.setattr(module, name, counted)
    out = linear_policy_loss(leaves[0], leaves[1], *rest, config=CONFIG, bias=leaves[2])
    assert made == {"accumulate_": 2 * (frozen != 1), "product": 2 * (frozen != 0)}
    others = [i for i in range(3) if i != frozen]
    for got, i in zip(gradients(out, *(leaves[i] for i in others)), others, strict=True):
        torch.testing.assert_close(got, everything[i])


def test_without_gradients_it_scores():
    hidden, weight, *rest = inputs()
    with torch.no_grad():
        scored = linear_policy_loss(hidden, weight, *rest, config=CONFIG)
    frozen = linear_policy_loss(hidden.detach(), weight.detach(), *rest, config=CONFIG)
    trained = linear_policy_loss(hidden, weight, *rest, config=CONFIG)
    assert not scored.loss.requires_grad and not frozen.loss.requires_grad and trained.loss.requires_grad
    torch.testing.assert_close((scored.loss, frozen.loss), (trained.loss.detach(),) * 2)


def test_log_probabilities_loss_and_metrics_are_those_of_the_separate_functions():
    hidden, weight, targets, advantages, cuts = inputs()
    advantages[1] = 0.0
    scored = linear_logprob(hidden, weight, targets, temperature=0.7)
    old = scored.logprobs.detach() + 0.3 * torch.randn(300, generator=torch.Generator().manual_seed(1))
    apart = policy_loss(scored.logprobs, advantages, cuts, config=CONFIG, entropy=scored.entropy, old_logprobs=old)
    out = linear_policy_loss(
        hidden, weight, targets, advantages, cuts, config=CONFIG, temperature=0.7, old_logprobs=old
    )
    torch.testing.assert_close((out.logprobs, out.entropy), (scored.logprobs.detach(), scored.entropy.detach()))
    torch.testing.assert_close(out.loss.detach(), apart.loss.detach())
    found, expected = ({name: x for name, x in each.metrics.items()} for each in (out, apart))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5, equal_nan=True)


def test_old_log_probabilities_from_another_batch_give_a_ratio_of_one_up_to_rounding():
    hidden, weight, targets, advantages, cuts = inputs()
    with torch.no_grad():
        old = torch.cat([linear_logprob(hidden[p], weight, targets[p]).logprobs for p in torch.arange(300).split(77)])
    out = linear_policy_loss(hidden, weight, targets, advantages, cuts, config=CONFIG, old_logprobs=old)
    on_policy = linear_policy_loss(hidden, weight, targets, advantages, cuts, config=CONFIG)
    assert on_policy.metrics["ratio_max"] == on_policy.metrics["ratio_min"] == 1
    assert out.metrics["ratio_max"] - 1 < 1e-5 and 1 - out.metrics["ratio_min"] < 1e-5
    torch.testing.assert_close(
        gradients(out, hidden, weight), gradients(on_policy, hidden, weight), rtol=1e-4, atol=1e-7
    )


@pytest.mark.parametrize("impl", ["chunked", "reference"])
def test_no_tokens_is_zero_and_still_touches_the_parameters(impl):
    hidden, weight, *_ = inputs()
    bias, none = torch.zeros(1300, requires_grad=True), torch.zeros(0, dtype=torch.long)
    for rollouts in (0, 2):
        out = linear_policy_loss(
            hidden,
            weight,
            none,
            torch.zeros(rollouts),
            torch.zeros(rollouts + 1, dtype=torch.long),
            config=CONFIG,
            rows=none,
            bias=bias,
            impl=impl,
        )
        assert out.loss == 0 and len(out.logprobs) == len(out.entropy) == 0
        assert all((g == 0).all() for g in gradients(out, hidden, weight, bias))


def test_a_mask_without_true_is_zero_and_still_touches_the_parameters():
    hidden, weight, *rest = inputs()
    out = linear_policy_loss(hidden, weight, *rest, config=CONFIG, mask=torch.zeros(300, dtype=torch.bool))
    assert out.loss == 0 and all((g == 0).all() for g in gradients(out, hidden, weight))


@pytest.mark.parametrize("what", ["hidden", "old"])
@pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), -float("inf")])
def test_a_token_whose_numbers_are_none_is_counted_and_trains_nothing(what, nonsense):
    hidden, weight, targets, advantages, cuts = inputs()
    old = linear_logprob(hidden, weight, targets).logprobs.detach() + 0.1
    spoilt = {"hidden": hidden.detach().clone(), "old": old.clone()}
    spoilt[what][7] = nonsense
    dirty = spoilt["hidden"].requires_grad_()
    out = linear_policy_loss(dirty, weight, targets, advantages, cuts, config=CONFIG, old_logprobs=spoilt["old"])
    grads = gradients(out, dirty, weight)
    assert out.loss.isfinite() and out.metrics["bad"] == 1
    assert all(g.isfinite().all() for g in grads) and (grads[0][7] == 0).all() and (grads[0][8] != 0).any()
    # the same as if the token were there and gave no gradient: it stays in the denominator
    kept = torch.arange(300) != 7
    clean = linear_logprob(hidden, weight, targets)
    logprobs = torch.where(kept, clean.logprobs, torch.nan)
    loss = policy_loss(logprobs, advantages, cuts, config=CONFIG, entropy=clean.entropy, old_logprobs=old).loss
    torch.testing.assert_close(out.loss, loss)
    torch.testing.assert_close(grads[1], torch.autograd.grad(loss, weight)[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shift", [199.0, -199.0, 2.0, -2.0])
def test_ratios_far_from_one_stay_finite(shift):
    hidden, weight, targets, advantages, cuts = inputs()
    old = linear_logprob(hidden, weight, targets).logprobs.detach() + shift
    out = linear_policy_loss(hidden, weight, targets, advantages, cuts, config=PolicyLossConfig(), old_logprobs=old)
    grads = gradients(out, hidden, weight)
    assert out.loss.isfinite() and all(g.isfinite().all() for g in grads)
    assert (grads[1] == 0).all() == (abs(shift) > 20)


def test_gradients_add_to_those_of_another_loss_on_the_same_head():
    hidden, weight, *rest = inputs()
    alone = gradients(linear_policy_loss(hidden, weight, *rest, config=CONFIG), weight)[0]
    out = linear_policy_loss(hidden, weight, *rest, config=CONFIG)
    (3.0 * out.loss + weight.square().sum()).backward()
    torch.testing.assert_close(weight.grad, 3.0 * alone + 2 * weight.detach())


REFUSED = [
    ({"targets": torch.tensor([0, 11])}, r"targets has entries outside \[0, 11\)"),
    ({"rows": torch.tensor([0, 2])}, r"rows has entries outside \[0, 2\)"),
    ({"targets": torch.tensor([0])}, "1 targets for 2 hidden rows"),
    ({"weight": torch.zeros(11, 5)}, "hidden has width 4 but weight has width 5"),
    ({"weight": torch.zeros(11, 4, device="meta")}, "different devices"),
    ({"advantages": torch.zeros(3)}, "advantages is"),
    ({"cu_seqlens": torch.tensor([0, 1])}, r"cu_seqlens must rise from 0 to len\(logprobs\)=2"),
    ({"old_logprobs": torch.zeros(3)}, "old_logprobs is"),
    ({"mask": torch.ones(2)}, "mask is"),
    ({"config": PolicyLossConfig(kl_coef=0.1)}, "kl_coef=0.1 needs ref_logprobs"),
    ({"config": PolicyLossConfig(is_cap=2.0)}, "is_cap=2.0 needs rollout_logprobs"),
    ({"rollout_logprobs": torch.zeros(2)}, "rollout_logprobs were given but is_cap is None"),
    ({"num_tokens": -1}, "num_tokens=-1"),
    ({"temperature": 0.0}, "temperature=0.0"),
    ({"softcap": -1.0}, "softcap=-1.0"),
    ({"impl": "fused"}, "unknown impl='fused'; pass one of 'auto', 'triton', 'chunked', 'reference'"),
]


@pytest.mark.parametrize("change, message", REFUSED, ids=[m for _, m in REFUSED])
@pytest.mark.parametrize("kind", ["sapo", "gspo"])
def test_what_does_not_fit_is_refused(change, message, kind):
    if "config" in change:
        change = {"config": PolicyLossConfig(**{**vars(change["config"]), "kind": kind})}
    arguments = {
        "hidden": torch.zeros(2, 4),
        "weight": torch.zeros(11, 4),
        "targets": torch.tensor([0, 1]),
        "advantages": torch.ones(1),
        "cu_seqlens": torch.tensor([0, 2]),
        "config": PolicyLossConfig(kind),
    } | change
    with pytest.raises(ValueError, match=message):
        linear_policy_loss(**arguments)


def test_one_chunk_of_logits_is_all_that_is_ever_held(monkeypatch):
    hidden, weight, *rest = inputs(n=4 * CHUNK_ROWS)
    made = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            made.extend(x for x in (out if isinstance(out, tuple) else (out,)) if isinstance(x, torch.Tensor))
            return out

    def watched(*args):
        with Watch():
            return honest(*args)

    honest = operator.score_and_differentiate
    monkeypatch.setattr(operator, "score_and_differentiate", watched)
    linear_policy_loss(hidden, weight, *rest, config=CONFIG)
    big = {x.untyped_storage().data_ptr() for x in made if x.untyped_storage().nbytes() >= 4 * CHUNK_ROWS * 1300}
    assert len(big) == 1
