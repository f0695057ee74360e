"""Policy losses on packed log-probabilities: one scalar and its telemetry in one call.

In PyTorch, for the default: `-4 / tau * sigmoid(tau * (exp(logprobs - old_logprobs) - 1)) * advantages`, averaged over
the tokens of each rollout, then over rollouts (SAPO, arXiv 2511.20347, Eq. 5 and 6).

The formulas are those of `policy_kinds`, or a user-defined function (`own_kind`). Packed means: the tokens of all
rollouts on one axis, rollout i from `cu_seqlens[i]` to `cu_seqlens[i + 1]`. Padded `(b, t)` tensors are the special
case of equal steps and a mask.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from cogrl_kernels.dispatch import choose, fastest
from cogrl_kernels.policy_checks import check_policy_inputs, refuse_own_in_triton
from cogrl_kernels.policy_config import PolicyLossConfig
from cogrl_kernels.policy_metrics import PolicyMetrics, policy_table
from cogrl_kernels.policy_op import fused
from cogrl_kernels.policy_tokens import Number, policy_tokens, token_terms

__all__ = ["PolicyLossConfig", "PolicyLossOutput", "PolicyMetrics", "policy_loss"]


@dataclass(frozen=True)
class PolicyLossOutput:
    """The loss, a scalar with gradients, and its detached telemetry."""

    loss: Tensor
    metrics: PolicyMetrics


def policy_loss(
    logprobs: Tensor,
    advantages: Tensor,
    cu_seqlens: Tensor,
    *,
    config: PolicyLossConfig,
    old_logprobs: Tensor | None = None,
    ref_logprobs: Tensor | None = None,
    rollout_logprobs: Tensor | None = None,
    entropy: Tensor | None = None,
    mask: Tensor | None = None,
    routes: Tensor | None = None,
    num_tokens: Number | None = None,
    num_rollouts: Number | None = None,
    impl: Literal["auto", "reference", "triton"] = "auto",
) -> PolicyLossOutput:
    """The loss of `s` rollouts packed into `n` tokens, with gradients to `logprobs` (n,) and `entropy` (n,).

    `advantages` are (s,), or (n,) for credit per token (s when both fit); `cu_seqlens` is (s + 1,), integer, from 0 to
    n; `mask` (n,), True on tokens that train; `routes` (s,), integer in [0, config.n_routes), for telemetry. Without
    `old_logprobs` the ratio is 1: the first update on a rollout. `rollout_logprobs` are those of the sampling engine,
    see `config.is_cap`. `num_rollouts` and `num_tokens` are the GLOBAL counts, of all micro-batches and ranks, which
    make any split sum to the whole batch; without them, the counts in this call. Half-precision inputs are computed in
    float32. A masked-in token for which a number is NaN or infinite (log-probabilities, their differences, advantage,
    entropy) has loss and gradient 0, stays in the denominator, and is counted in `metrics["bad"]`.
    Raises ValueError on inputs that do not fit (values on a GPU or while compiling: a device assertion).
    """
    implementations = {"reference": reference, "triton": fused}
    refuse_own_in_triton("policy_loss", impl, config)
    auto = "reference" if config.is_own else fastest(logprobs, "reference")
    function = choose("policy_loss", impl, implementations, auto, like=logprobs)
    against = {"old_logprobs": old_logprobs, "ref_logprobs": ref_logprobs, "rollout_logprobs": rollout_logprobs}
    counts = {"num_tokens": num_tokens, "num_rollouts": num_rollouts}
    check_policy_inputs(
        logprobs,
        advantages,
        cu_seqlens,
        config,
        per_token=against | {"entropy": entropy},
        mask=mask,
        routes=routes,
        counts=counts,
    )
    loss, table = function(
        logprobs, entropy, advantages, cu_seqlens, config, mask=mask, routes=routes, **against, **counts
    )
    return PolicyLossOutput(loss, PolicyMetrics(table, config.kl_estimator))


def reference(
    logprobs: Tensor, entropy: Tensor | None, advantages: Tensor, cu_seqlens: Tensor, config: PolicyLossConfig, **given
) -> tuple[Tensor, Tensor]:
    """The truth in eager PyTorch, gradients by autograd: (loss, telemetry table), float64 for float64, else float32."""
    tokens = policy_tokens(logprobs, advantages, cu_seqlens, config, **given)
    terms = token_terms(logprobs, entropy, tokens, config)
    loss = (tokens.weights * terms.loss).sum()
    return loss, policy_table(terms, tokens, config.n_routes, None if entropy is None else entropy.detach())
