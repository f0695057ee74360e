"""Under autocast a head multiplies in its dtype, as a linear layer does, and keeps what it makes of that in float32."""

import pytest
import torch
from cogrl_kernels.linear_kl import linear_kl
from cogrl_kernels.linear_logprob import linear_logprob
from cogrl_kernels.linear_policy_loss import linear_policy_loss
from cogrl_kernels.policy_loss import PolicyLossConfig, policy_loss
from torch.nn.functional import linear

N, V, D = 300, 2500, 48
HALVES = pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
CONFIG = PolicyLossConfig("grpo", kl_coef=0.1, entropy_coef=0.02)


def inputs():
    g = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(N, D, generator=g), torch.randn(V, D, generator=g) / 3
    targets = torch.randint(0, V, (N,), generator=g)
    return hidden, weight, targets, torch.randn(N, generator=g), torch.randn(N, D, generator=g)


def rollout(logprobs, advantages):
    """The arguments of a policy loss besides the log-probabilities."""
    g = torch.Generator().manual_seed(1)
    old, ref = (logprobs + 0.2 * torch.randn(N, generator=g) for _ in range(2))
    return {
        "advantages": advantages[:4],
        "cu_seqlens": torch.tensor([0, 7, 100, 230, N]),
        "old_logprobs": old,
        "ref_logprobs": ref,
    }


def scored(logits, targets):
    logp = logits.log_softmax(-1)
    return logp.gather(1, targets[:, None]).squeeze(1), -(logp.exp() * logp).sum(-1)


class Logprob:
    """The sum of log-probabilities and entropies, each times a number of its own."""

    @staticmethod
    def ours(hidden, weight, targets, upstream, teacher, given, impl="auto"):
        out = linear_logprob(hidden, weight, targets, impl=impl)
        return (upstream * (out.logprobs + 0.3 * out.entropy)).sum()

    @staticmethod
    def of_logits(logits, teacher_logits, targets, upstream, given):
        logprobs, entropy = scored(logits, targets)
        return (upstream * (logprobs + 0.3 * entropy)).sum()


class PolicyLoss:
    @staticmethod
    def ours(hidden, weight, targets, upstream, teacher, given, impl="auto"):
        return linear_policy_loss(hidden, weight, targets, **given, config=CONFIG, impl=impl).loss

    @staticmethod
    def of_logits(logits, teacher_logits, targets, upstream, given):
        logprobs, entropy = scored(logits, targets)
        given = {name: x.to(logits.dtype) if x.is_floating_point() else x for name, x in given.items()}
        return policy_loss(logprobs, **given, entropy=entropy, config=CONFIG, impl="reference").loss


class Kl:
    @staticmethod
    def ours(hidden, weight, targets, upstream, teacher, given, impl="auto"):
        return linear_kl(hidden, weight, teacher, weight.detach(), upstream.abs(), impl=impl).loss

    @staticmethod
    def of_logits(logits, teacher_logits, targets, upstream, given):
        log_q, log_p = logits.log_softmax(-1), teacher_logits.log_softmax(-1)
        return (upstream.abs() * (log_p.exp() * (log_p - log_q)).sum(-1)).sum()


OPERATIONS = pytest.mark.parametrize("operation", [Logprob, PolicyLoss, Kl])


def trained(function, hidden, weight):
    """(loss, gradients); backward runs outside of autocast, as it does in training."""
    leaves = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
    loss = function(*leaves)
    return loss.detach(), torch.autograd.grad(loss, leaves)


def truth(operation, hidden, weight, targets, upstream, teacher, given):
    """float64 of these inputs."""
    w = weight.double()
    return trained(
        lambda h, w: operation.of_logits(h @ w.T, teacher.double() @ w.detach().T, targets, upstream.double(), given),
        hidden.double(),
        w,
    )


def relative(got, expected):
    return ((got.double() - expected).norm() / expected.norm()).item()


@HALVES
@OPERATIONS
@pytest.mark.parametrize("impl", ["auto", "reference"])
def test_it_is_the_exact_result_of_rounded_inputs(operation, half, impl):
    hidden, weight, targets, upstream, teacher = inputs()
    given = rollout(scored(hidden @ weight.T, targets)[0], upstream)

    def ours(h, w):
        with torch.autocast("cpu", half):
            return operation.ours(h, w, targets, upstream, teacher, given, impl=impl)

    loss, grads = trained(ours, hidden, weight)
    rounded = [x.to(half).float() for x in (hidden, weight)]
    teacher_rounded = teacher.to(half).float()
    exact, exact_grads = truth(operation, *rounded, targets, upstream, teacher_rounded, given)
    plain, _ = truth(operation, hidden, weight, targets, upstream, teacher, given)
    assert abs(loss - exact) < 1e-5 * max(abs(exact), 1) and loss.dtype == torch.float32
    assert abs(loss - exact) < 0.1 * abs(plain - exact)  # the rounding did take place
    limit = 1e-5 if impl == "auto" else 5e-3  # autograd rounds the reference's gradients once more
    for grad, true in zip(grads, exact_grads, strict=True):
        assert grad.dtype == torch.float32 and relative(grad, true) < limit


@HALVES
@OPERATIONS
def test_it_errs_no_more_than_a_linear_layer_under_autocast(operation, half):
    hidden, weight, targets, upstream, teacher = inputs()
    given = rollout(scored(hidden @ weight.T, targets)[0], upstream)

    def ours(h, w):
        with torch.autocast("cpu", half):
            return operation.ours(h, w, targets, upstream, teacher, given)

    def eager(h, w):
        with torch.autocast("cpu", half):
            logits, teacher_logits = linear(h, w), linear(teacher, w.detach())
        return operation.of_logits(logits.float(), teacher_logits.float(), targets, upstream, given)

    _, exact_grads = truth(operation, hidden, weight, targets, upstream, teacher, given)
    (_, grads), (_, theirs) = trained(ours, hidden, weight), trained(eager, hidden, weight)
    for mine, other, true in zip(grads, theirs, exact_grads, strict=True):
        assert relative(mine, true) <= relative(other, true) < 0.1
    with torch.autocast("cpu", half):
        mine, other = linear_logprob(hidden, weight, targets).logprobs, linear(hidden, weight).float()
    true = scored(hidden.double() @ weight.double().T, targets)[0]
    assert relative(mine, true) <= relative(scored(other, targets)[0], true)


@OPERATIONS
def test_float64_stays_float64_under_autocast(operation):
    hidden, weight, targets, upstream, teacher = (x.double() if x.is_floating_point() else x for x in inputs())
    given = rollout(scored(hidden @ weight.T, targets)[0], upstream)

    def ours(h, w):
        with torch.autocast("cpu", torch.bfloat16):
            return operation.ours(h, w, targets, upstream, teacher, given)

    (loss, grads), (exact, exact_grads) = (
        trained(ours, hidden, weight),
        truth(operation, hidden, weight, targets, upstream, teacher, given),
    )
    assert loss.item() == pytest.approx(exact.item(), rel=1e-11)
    assert all(relative(grad, true) < 1e-11 for grad, true in zip(grads, exact_grads, strict=True))
