"""From packed rollouts to terms of single tokens: what a chunk of tokens needs in order to be trained by itself.

The seam for a pass that holds only some tokens at a time (`linear_policy_loss`): `policy_tokens` once for all of them,
then, chunk by chunk, `chunk_loss(logprobs, entropy, tokens.part(chunk), config)`, whose sum over any split is the loss
and whose gradients, by autograd, are those of the whole. Telemetry afterwards, from the detached log-probabilities of
all tokens: `policy_metrics.policy_table`.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from cogrl_kernels.own_kind import check_loss
from cogrl_kernels.policy_config import PolicyLossConfig
from cogrl_kernels.policy_kinds import KL_ESTIMATORS, LOG_RATIO_LIMIT

Number = int | float | Tensor


@dataclass(frozen=True)
class PolicyTokens:
    """The inputs of the loss for each of n tokens besides log-probability and entropy: (n,), without gradients.

    `weights`: share of the token in the reduction, 0 where `mask` is False, so that the loss is the sum of
    `weights * loss`. `segment`: its rollout. `route`: of that rollout. `tau`: its temperature, sapo only.
    """

    mask: Tensor
    weights: Tensor
    advantages: Tensor
    segment: Tensor
    route: Tensor | None
    tau: Tensor | None
    old: Tensor | None
    ref: Tensor | None
    rollout: Tensor | None
    rollouts: int

    def part(self, index: slice | Tensor) -> "PolicyTokens":
        """Those of a slice, or of int64 positions; `rollouts` stays the number of all of them."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return PolicyTokens(**{name: x[index] if isinstance(x, Tensor) else x for name, x in values.items()})


@dataclass(frozen=True)
class TokenTerms:
    """Of n tokens: `loss` (gradients to log-probabilities and entropy) and, detached, what telemetry is made of.

    `good`: masked in, and every number the token needs is finite; the others have loss 0 and gradient 0. `ratio` is
    the one the loss uses (gspo: of the sequence), `log_ratio` that of the token; `gate` the share of the policy
    gradient that passes, None where it was not requested; `is_weight` and `ref_log_ratio` None where there is nothing
    to correct or compare.
    """

    loss: Tensor
    good: Tensor
    ratio: Tensor
    log_ratio: Tensor
    gate: Tensor | None
    is_weight: Tensor | None
    ref_log_ratio: Tensor | None


def policy_tokens(
    like: Tensor,
    advantages: Tensor,
    cu_seqlens: Tensor,
    config: PolicyLossConfig,
    *,
    old_logprobs: Tensor | None = None,
    ref_logprobs: Tensor | None = None,
    rollout_logprobs: Tensor | None = None,
    mask: Tensor | None = None,
    routes: Tensor | None = None,
    num_tokens: Number | None = None,
    num_rollouts: Number | None = None,
) -> PolicyTokens:
    """Everything per token, with the dtype and device of `like` (n,), which is read for nothing else.

    Arguments are those of `policy_loss`, checked there. float16 and bfloat16 become float32.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    n, s = len(like), len(cu_seqlens) - 1
    positions = torch.arange(n, device=like.device, dtype=cu_seqlens.dtype)
    segment = torch.searchsorted(cu_seqlens[1:].contiguous(), positions, right=True)
    mask = torch.ones(n, dtype=torch.bool, device=like.device) if mask is None else mask.bool()

    def each(x: float | Tensor) -> Tensor:
        x = x.detach().to(dtype) if isinstance(x, Tensor) else torch.full((), x, dtype=dtype, device=like.device)
        return x.expand(n) if x.ndim == 0 else x[segment] if len(x) == s else x

    def floats(x: Tensor | None) -> Tensor | None:
        return None if x is None else x.detach().to(dtype)

    advantages = each(advantages)
    tau = None if config.taus is None else torch.where(advantages > 0, *(each(tau) for tau in config.taus))
    return PolicyTokens(
        mask=mask,
        weights=_weights(mask, segment, s, config, num_tokens, num_rollouts, dtype),
        advantages=advantages,
        segment=segment,
        route=None if routes is None else routes[segment],
        tau=tau,
        old=floats(old_logprobs),
        ref=floats(ref_logprobs),
        rollout=floats(rollout_logprobs),
        rollouts=s,
    )


def chunk_loss(logprobs: Tensor, entropy: Tensor | None, tokens: PolicyTokens, config: PolicyLossConfig) -> Tensor:
    """What these tokens add to the loss: a scalar, differentiable in `logprobs` and `entropy` (c,).

    Tokens may be any part of any rollouts. Raises ValueError for gspo, whose ratio is that of a whole rollout.
    """
    if config.of_sequences:
        raise ValueError(f"kind={config.kind!r} needs whole rollouts: its ratio is not that of single tokens")
    return (tokens.weights * token_terms(logprobs, entropy, tokens, config, gate=False).loss).sum()


def token_terms(
    logprobs: Tensor, entropy: Tensor | None, tokens: PolicyTokens, config: PolicyLossConfig, gate: bool = True
) -> TokenTerms:
    """The loss of each token, not weighted, and what it was made of. For gspo `tokens` must hold whole rollouts.

    Raises ValueError for a user-defined loss that is not one finite number a token.
    """
    logprobs = logprobs.to(tokens.weights.dtype)
    entropy = None if entropy is None else entropy.to(logprobs.dtype)
    old = logprobs.detach() if tokens.old is None else tokens.old
    log_ratio = logprobs - old
    ref_log_ratio = None if tokens.ref is None else logprobs - tokens.ref
    mismatch = None if tokens.rollout is None else old - tokens.rollout
    good = tokens.mask & tokens.advantages.isfinite()
    for x in (log_ratio, ref_log_ratio, mismatch, entropy):
        good = good if x is None else good & x.isfinite()

    blank = ~good
    inputs, ratio, log_ratio = _inputs(logprobs, old, good, tokens, config)
    loss = config.formula.loss(**inputs)
    if config.is_own:
        check_loss(config.kind, loss, inputs)
    passes = _gate(inputs, logprobs, old, good, tokens, config).detach() if gate else None
    if mismatch is not None:
        mismatch = mismatch.masked_fill(blank, 0.0).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
        mismatch = mismatch.clamp(max=config.is_cap)
        loss = loss * mismatch
    if ref_log_ratio is not None:
        ref_log_ratio = ref_log_ratio.masked_fill(blank, 0.0)
        if config.kl_coef:
            loss = loss + config.kl_coef * KL_ESTIMATORS[config.kl_estimator](ref_log_ratio)
        ref_log_ratio = ref_log_ratio.detach()
    if config.entropy_coef:
        loss = loss - config.entropy_coef * entropy.masked_fill(blank, 0.0)
    loss = loss.masked_fill(blank, 0.0)
    return TokenTerms(loss, good, ratio.detach(), log_ratio.detach(), passes, mismatch, ref_log_ratio)


def _inputs(
    logprobs: Tensor, old: Tensor, good: Tensor, tokens: PolicyTokens, config: PolicyLossConfig
) -> tuple[dict[str, Tensor | float], Tensor, Tensor]:
    """(what the loss of the config takes, the ratio it uses, log-ratio of the tokens); 0, and ratio 1, if not good."""
    # masked and clamped before exp: after it, 0 * inf would make the gradient NaN
    log_ratio = (logprobs - old).masked_fill(~good, 0.0)
    ratio = used = log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
    if config.of_sequences:
        used = _sequence_mean(log_ratio, good, tokens).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
    low, high = config.clips
    there = {
        "logprobs": logprobs.masked_fill(~good, 0.0),
        "old_logprobs": old.masked_fill(~good, 0.0),
        "log_ratio": log_ratio,
        "ratio": ratio,
        "sequence_ratio": used,
        "advantages": tokens.advantages.masked_fill(~good, 0.0),
        "tau": tokens.tau,
        "clip_low": low,
        "clip_high": high,
    }
    return {name: there[name] for name in config.formula.inputs} | (config.options or {}), used, log_ratio


def _gate(
    inputs: dict[str, Tensor | float],
    logprobs: Tensor,
    old: Tensor,
    good: Tensor,
    tokens: PolicyTokens,
    config: PolicyLossConfig,
) -> Tensor:
    """The share of the unclipped policy gradient `-A * ratio` that passes; 1 where there is none."""
    if config.formula.gate is not None:
        return config.formula.gate(**inputs)
    # autograd also below an operator and under inference mode, whose tensors it can not keep: these are new ones
    with torch.inference_mode(False), torch.enable_grad():
        everyone = torch.arange(len(logprobs), device=logprobs.device)
        leaf = logprobs.detach()[everyone].requires_grad_()
        inputs, ratio, _ = _inputs(leaf, old.detach()[everyone], good[everyone], tokens.part(everyone), config)
        (slope,) = torch.autograd.grad(config.formula.loss(**inputs).sum(), leaf)
    plain = -tokens.advantages * ratio.detach()
    return torch.where(good & (plain != 0), slope / plain, 1.0)


def _sequence_mean(x: Tensor, good: Tensor, tokens: PolicyTokens) -> Tensor:
    """The mean of `x`, which is 0 on the others, over the good tokens of its rollout, at each token."""
    total = x.new_zeros(tokens.rollouts).index_add(0, tokens.segment, x)
    count = x.new_zeros(tokens.rollouts).index_add(0, tokens.segment, good.to(x.dtype))
    return (total / count.clamp(min=1))[tokens.segment]


def _weights(
    mask: Tensor,
    segment: Tensor,
    rollouts: int,
    config: PolicyLossConfig,
    num_tokens: Number | None,
    num_rollouts: Number | None,
    dtype: torch.dtype,
) -> Tensor:
    weights = mask.to(dtype)
    if config.denominator == "token_mean":
        return weights * _inverse(weights.sum() if num_tokens is None else num_tokens, dtype)
    count = _inverse(rollouts if num_rollouts is None else num_rollouts, dtype)
    if config.denominator == "fixed_length":
        return weights / config.length * count
    tokens = weights.new_zeros(rollouts).index_add(0, segment, weights)
    return weights / tokens.clamp(min=1)[segment] * count


def _inverse(count: Number, dtype: torch.dtype) -> float | Tensor:
    # nothing counted: the loss is 0 and still touches the parameters, not 0 / 0
    if not isinstance(count, Tensor):
        return 1 / count if count else 0.0
    count = count.to(dtype)
    return torch.where(count > 0, 1 / count.masked_fill(count <= 0, 1), 0.0)
