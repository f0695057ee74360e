"""Calls of the policy loss for tests of any implementation of it, and the comparison with `policy_oracle`."""

import itertools
import math

import torch
from cogrl_kernels.policy_loss import PolicyLossConfig, policy_loss
from policy_oracle import truth

KINDS = ("sapo", "grpo", "dapo", "dr_grpo", "gspo", "cispo", "reinforce")
OPTIONAL = ("entropy", "old_logprobs", "ref_logprobs", "rollout_logprobs", "mask", "routes")
EVERYTHING = {"kl_coef": 0.1, "entropy_coef": 0.05, "is_cap": 2.0, "n_routes": 2}
BARE = {"old_logprobs", "mask"}
"""What is given without the extras."""
UPSTREAM = 3.7


def config(kind="sapo", reduction=None, **options):
    fixed = reduction == "fixed_length" or (kind == "dr_grpo" and reduction is None)
    return PolicyLossConfig(kind=kind, reduction=reduction, length=300 if fixed else None, **options)


def solve(call, settings, dtype=torch.float64, impl="auto", **counts):
    """(output, gradient of the log-probabilities, of the entropy) for an upstream gradient of 3.7."""
    call = {k: x.to(dtype) if x is not None and x.is_floating_point() else x for k, x in call.items()}
    call["logprobs"] = call["logprobs"].clone().requires_grad_()
    if call.get("entropy") is not None:
        call["entropy"] = call["entropy"].clone().requires_grad_()
    out = policy_loss(**call, config=settings, impl=impl, **counts)
    out.loss.backward(torch.tensor(UPSTREAM, dtype=out.loss.dtype))
    entropy_grad = None if call.get("entropy") is None else call["entropy"].grad
    return out, call["logprobs"].grad, entropy_grad


def check_against_truth(call, settings, dtype, impl="auto", **counts):
    """Loss and gradients; returns (output, truth)."""
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    expected = truth(call, settings, **counts)
    out, grad, entropy_grad = solve(call, settings, dtype, impl, **counts)
    assert abs(out.loss.item() - expected.loss) <= tolerance * max(abs(expected.loss), 0.1)
    pairs = [(grad, expected.logprob_grad)] + [(entropy_grad, expected.entropy_grad)] * bool(settings.entropy_coef)
    for got, wanted in pairs:
        wanted = UPSTREAM * torch.tensor(wanted, dtype=torch.float64)
        assert (got.double() - wanted).norm() <= tolerance * wanted.norm()
        # each token too: those of a long rollout hardly show in the norm
        torch.testing.assert_close(got.double(), wanted, rtol=10 * tolerance, atol=tolerance * 0.1 * wanted.abs().max())
        assert torch.equal(got == 0, wanted == 0) or settings.kind == "sapo"  # its gate underflows in float32
    return out, expected


def bare(**options):
    """A call of the loss alone: no KL, entropy, importance weight or routes."""
    return {name: None if name in OPTIONAL and name not in BARE else x for name, x in batch(**options).items()}


def batch(lengths=(63, 0, 401, 1, 17, 1271), seed=0, per_token=False, poison=True):
    """Tensors of a call, float64 but exact in float32: log-ratios over [-2, 2] and, with `poison`, far beyond.

    The rollout of 17 tokens is masked out, and about a fifth of the others. Poison needs a last rollout of 33 tokens.
    """
    g = torch.Generator().manual_seed(seed)
    n, s = sum(lengths), len(lengths)

    def spread(low, high):
        return (torch.rand(n, generator=g) * (high - low) + low).double()

    cu = [0, *itertools.accumulate(lengths)]
    mask = torch.rand(n, generator=g) > 0.2
    for i, length in enumerate(lengths):
        if length == 17:
            mask[cu[i] : cu[i + 1]] = False
    old = spread(-8, -3)
    logprobs = (old + spread(-2, 2)).float().double()
    call = {
        "logprobs": logprobs,
        "entropy": spread(0, 2),
        "advantages": torch.randn(n if per_token else s, generator=g).double(),
        "cu_seqlens": torch.tensor(cu, dtype=torch.int32),
        "old_logprobs": old,
        "ref_logprobs": (logprobs + spread(-1, 1)).float().double(),
        "rollout_logprobs": (old + spread(-1.5, 1.5)).float().double(),
        "mask": mask,
        "routes": torch.tensor([i % 2 for i in range(s)]),
    }
    call["advantages"][3:4] = 0.0
    if poison:
        last = cu[-2]
        for at, value in enumerate((199.0, -199.0, math.nan, math.inf, -math.inf)):
            call["logprobs"][last + 3 * at] += value
            # a ratio or KL of exp(20) would drown the rest of the loss; see test_a_clamped_token
            call["ref_logprobs"][last + 3 * at] += value
        positive = slice(last, None) if per_token else slice(-1, None)
        call["advantages"][positive] = call["advantages"][positive].abs()
        call["old_logprobs"][last + 20] = -math.inf
        call["ref_logprobs"][last + 24] = math.nan
        call["rollout_logprobs"][last + 28] = math.inf
        call["entropy"][last + 32] = math.nan
        mask[last : last + 33] = True
        call["logprobs"][1], call["old_logprobs"][2], mask[1:3] = math.nan, -math.inf, False
    return call


def clamped(kind, sign, log_ratio, kl_coef=0.1):
    """(call, config) of one rollout of five tokens; the third is `log_ratio` away from the old policy and reference.

    In gspo all are, since its ratio is that of the mean.
    """
    lp = torch.tensor([-1.0, -2.0, -1.5, -0.5, -3.0], dtype=torch.float64)
    far = torch.full((5,), log_ratio) if kind == "gspo" else torch.tensor([0.1, -0.1, log_ratio, 0.0, 0.2])
    call = {"logprobs": lp, "advantages": torch.tensor([sign]), "cu_seqlens": torch.tensor([0, 5])}
    call |= {"old_logprobs": lp - far, "ref_logprobs": lp - far.double()}
    return call, config(kind, "sequence_mean", kl_coef=kl_coef)
