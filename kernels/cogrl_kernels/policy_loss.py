"""Policy losses on packed log-probabilities: one scalar and its telemetry in one call.

In PyTorch, for the default: `-4 / tau * sigmoid(tau * (exp(logprobs - old_logprobs) - 1)) * advantages`, averaged over
the tokens of each rollout, then over rollouts (SAPO, arXiv 2511.20347, Eq. 5 and 6).

The truth is the per-token functions of `cogrl.objectives`; what is here takes the same arguments, is held to them by
tests, and refuses what it does not implement. Packed means: the tokens of all rollouts on one axis, rollout i from
`cu_seqlens[i]` to `cu_seqlens[i + 1]`. Padded `(b, t)` tensors are the special case of equal steps and a mask.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cogrl_kernels.dispatch import choose

LOG_RATIO_LIMIT = 20.0
Number = int | float | Tensor


@dataclass(frozen=True)
class PolicyLossConfig:
    """Which loss and which denominator. DAPO is grpo with clip_high=0.28 and token_mean; Dr. GRPO is fixed_length.

    `tau_*` belong to sapo, `clip_*` to grpo; `length` (tokens) to fixed_length. `tau_*` may be tensors without axes, so
    that they can change during a run.
    """

    kind: Literal["sapo", "grpo", "reinforce"] = "sapo"
    reduction: Literal["sequence_mean", "token_mean", "fixed_length"] = "sequence_mean"
    tau_pos: float | Tensor = 1.0
    tau_neg: float | Tensor = 1.05
    clip_low: float = 0.2
    clip_high: float = 0.2
    kl_coef: float = 0.0
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    length: int | None = None

    def __post_init__(self) -> None:
        for name, table in (("kind", KINDS), ("reduction", REDUCTIONS), ("kl_estimator", KL_ESTIMATORS)):
            if getattr(self, name) not in table:
                raise ValueError(f"{name}={getattr(self, name)!r} is unknown; pass one of {', '.join(table)}")
        for name in ("tau_pos", "tau_neg"):
            tau = getattr(self, name)
            if not isinstance(tau, Tensor) and not tau > 0:
                raise ValueError(f"{name}={tau} must be positive")
        if not 0 <= self.clip_low <= 1 or not self.clip_high >= 0:
            raise ValueError(f"clip_low={self.clip_low}, clip_high={self.clip_high}: need 0..1 and at least 0")
        if self.reduction == "fixed_length" and (self.length is None or self.length < 1):
            raise ValueError(f"length={self.length}: fixed_length needs the generation limit, in tokens")
        if self.reduction != "fixed_length" and self.length is not None:
            raise ValueError(f"length={self.length} has no meaning for reduction={self.reduction!r}")


@dataclass(frozen=True)
class PolicyLossOutput:
    """The loss and its detached telemetry: tensors without axes, still on the device; NaN = nothing to average.

    `gate_pos`, `gate_neg`: mean share of the policy gradient that passes, where the advantage is positive or negative
    (1 on-policy; for grpo one minus the clip fraction); `effective`: share of tokens that pass at least one half;
    `ratio_mean`, `ratio_max`; `kl`: mean estimate, NaN without `ref_logprobs`; `tokens`: masked in; `bad`: of those,
    with a log-ratio that is NaN or infinite. All but `tokens` and `bad` leave the bad ones out.
    """

    loss: Tensor
    metrics: Mapping[str, Tensor]


def policy_loss(
    logprobs: Tensor,
    advantages: Tensor,
    cu_seqlens: Tensor,
    *,
    config: PolicyLossConfig,
    old_logprobs: Tensor | None = None,
    ref_logprobs: Tensor | None = None,
    mask: Tensor | None = None,
    num_tokens: Number | None = None,
    num_rollouts: Number | None = None,
    impl: Literal["auto", "reference", "triton"] = "auto",
) -> PolicyLossOutput:
    """The loss of `s` rollouts packed into `n` tokens, with gradient to `logprobs` (n,).

    `advantages` are (s,), or (n,) for credit per token (s when both fit); `cu_seqlens` is (s + 1,), integer, from 0 to
    n; `mask` (n,), True on tokens that train. Without `old_logprobs` the ratio is 1: the first update on a rollout.
    `num_rollouts` and `num_tokens` are the GLOBAL counts, of all micro-batches and ranks, which make any split sum to
    the whole batch; without them, the counts in this call. Half-precision inputs are computed in float32.
    A NaN log-probability on a masked-in token makes the loss NaN; `metrics["bad"]` says how many there were.
    Raises ValueError on inputs that do not fit (the values of `cu_seqlens` on a GPU: a device assertion).
    """
    function = choose("policy_loss", impl, {"reference": reference}, auto="reference")
    _check(logprobs, advantages, cu_seqlens, config, old_logprobs, ref_logprobs, mask, num_tokens, num_rollouts)
    return function(
        logprobs, advantages, cu_seqlens, config, old_logprobs, ref_logprobs, mask, num_tokens, num_rollouts
    )


def reference(
    logprobs, advantages, cu_seqlens, config, old_logprobs, ref_logprobs, mask, num_tokens, num_rollouts
) -> PolicyLossOutput:
    """The truth in eager PyTorch: float32, or float64 for float64."""
    dtype = torch.promote_types(logprobs.dtype, torch.float32)
    lengths = cu_seqlens.diff()
    segment = torch.arange(len(lengths), device=logprobs.device).repeat_interleave(lengths, output_size=len(logprobs))
    mask = torch.ones_like(logprobs, dtype=torch.bool) if mask is None else mask.bool()
    advantages = advantages.to(dtype)
    advantages = advantages[segment] if len(advantages) == len(lengths) else advantages

    logprobs = logprobs.to(dtype)
    difference = logprobs - (logprobs if old_logprobs is None else old_logprobs.to(dtype)).detach()
    # masked and clamped before exp: after it, 0 * inf would make the gradient NaN
    ratio = difference.masked_fill(~mask, 0.0).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
    loss, gate = KINDS[config.kind](ratio, logprobs.masked_fill(~mask, 0.0), advantages, config)
    kl = None
    if ref_logprobs is not None:
        kl = KL_ESTIMATORS[config.kl_estimator]((logprobs - ref_logprobs.to(dtype).detach()).masked_fill(~mask, 0.0))
        loss = loss + config.kl_coef * kl
    rollouts = len(lengths) if num_rollouts is None else num_rollouts
    tokens = mask.sum() if num_tokens is None else num_tokens
    loss = loss.masked_fill(~mask, 0.0)
    total = REDUCTIONS[config.reduction](loss, mask, segment, lengths, tokens, rollouts, config)
    return PolicyLossOutput(total, _metrics(ratio, gate, advantages, kl, mask, difference.isfinite()))


def _sapo(ratio, logprobs, advantages, config):
    pos, neg = (
        torch.as_tensor(tau, dtype=ratio.dtype, device=ratio.device) for tau in (config.tau_pos, config.tau_neg)
    )
    tau = torch.where(advantages > 0, pos, neg)
    x = tau * (ratio - 1)
    return -advantages * torch.sigmoid(x) * 4 / tau, 4 * torch.sigmoid(x) * torch.sigmoid(-x)


def _grpo(ratio, logprobs, advantages, config):
    low, high = 1 - config.clip_low, 1 + config.clip_high
    loss = -torch.minimum(ratio * advantages, ratio.clamp(low, high) * advantages)
    clipped = ((advantages > 0) & (ratio > high)) | ((advantages < 0) & (ratio < low))
    return loss, (~clipped).to(ratio)


def _reinforce(ratio, logprobs, advantages, config):
    return -advantages * logprobs, torch.ones_like(ratio)


KINDS = {"sapo": _sapo, "grpo": _grpo, "reinforce": _reinforce}
"""(ratio, logprobs, advantages, config) -> (loss, gate), all (n,)."""


def _k3(log_ratio):
    x = (-log_ratio).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return x.expm1() - x


KL_ESTIMATORS = {"k1": lambda log_ratio: log_ratio, "k2": lambda log_ratio: log_ratio.square() / 2, "k3": _k3}
"""log(policy / reference) (n,) -> estimate of KL(policy || reference) (n,)."""


def _sequence_mean(loss, mask, segment, lengths, num_tokens, num_rollouts, config):
    tokens = torch.zeros_like(lengths).index_add(0, segment, mask.to(lengths.dtype))
    return _over((loss / tokens.clamp(min=1)[segment]).sum(), num_rollouts)


def _token_mean(loss, mask, segment, lengths, num_tokens, num_rollouts, config):
    return _over(loss.sum(), num_tokens)


def _fixed_length(loss, mask, segment, lengths, num_tokens, num_rollouts, config):
    return _over(loss.sum() / config.length, num_rollouts)


REDUCTIONS = {"sequence_mean": _sequence_mean, "token_mean": _token_mean, "fixed_length": _fixed_length}
"""The masked loss (n,) -> the scalar."""


def _over(total: Tensor, count: Number) -> Tensor:
    # nothing counted: 0 that still touches the parameters, not 0 / 0
    if not isinstance(count, Tensor):
        return total / count if count else total * 0.0
    some = count > 0
    return total / count.masked_fill(~some, 1).to(total) * some.to(total)


@torch.no_grad()
def _metrics(ratio, gate, advantages, kl, mask, finite) -> dict[str, Tensor]:
    good = mask & finite
    positive, negative = good & (advantages > 0), good & (advantages < 0)
    return {
        "gate_pos": _mean(gate, positive),
        "gate_neg": _mean(gate, negative),
        "effective": _mean((gate >= 0.5).to(gate), good),
        "ratio_mean": _mean(ratio, good),
        "ratio_max": torch.cat([ratio.masked_fill(~good, 0.0), ratio.new_zeros(1)]).amax(),
        "kl": ratio.new_full((), torch.nan) if kl is None else _mean(kl, good),
        "tokens": mask.sum(),
        "bad": (mask & ~finite).sum(),
    }


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return values.masked_fill(~where, 0.0).sum() / where.sum()


def _check(
    logprobs, advantages, cu_seqlens, config, old_logprobs, ref_logprobs, mask, num_tokens, num_rollouts
) -> None:
    if logprobs.ndim != 1 or not logprobs.is_floating_point():
        raise ValueError(f"logprobs is {tuple(logprobs.shape)} {logprobs.dtype}; it needs one axis and a float dtype")
    if cu_seqlens.ndim != 1 or len(cu_seqlens) == 0 or cu_seqlens.dtype not in (torch.int32, torch.int64):
        raise ValueError(f"cu_seqlens is {tuple(cu_seqlens.shape)} {cu_seqlens.dtype}; it needs (rollouts + 1,) ints")
    n, s = len(logprobs), len(cu_seqlens) - 1
    if advantages.shape not in ((s,), (n,)):
        raise ValueError(f"advantages are {tuple(advantages.shape)}; they need ({s},) per rollout or ({n},) per token")
    for name, tensor in (("old_logprobs", old_logprobs), ("ref_logprobs", ref_logprobs), ("mask", mask)):
        if tensor is not None and tensor.shape != (n,):
            raise ValueError(f"{name} is {tuple(tensor.shape)} for {n} logprobs; they need equal shapes")
    if mask is not None and mask.dtype not in (torch.bool, torch.uint8):
        raise ValueError(f"mask is {mask.dtype}; it must be bool or uint8")
    for name, count in (("num_tokens", num_tokens), ("num_rollouts", num_rollouts)):
        if count is not None and not isinstance(count, Tensor) and count < 0:
            raise ValueError(f"{name}={count} is negative")
    if config.kl_coef and ref_logprobs is None:
        raise ValueError(f"kl_coef={config.kl_coef} needs ref_logprobs")
    fits = (cu_seqlens[0] == 0) & (cu_seqlens[-1] == n) & (cu_seqlens.diff() >= 0).all()
    message = f"cu_seqlens must rise from 0 to {n}, the number of logprobs"
    if cu_seqlens.device.type != "cpu":
        torch._assert_async(fits, message)
    elif not fits:
        raise ValueError(f"{message}; it is {cu_seqlens.tolist()}")
