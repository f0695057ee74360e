"""The one-pass policy loss as a PyTorch operator: one node for compilers, which could not follow its loops."""

import torch
from torch import Tensor

from cogrl_kernels.forward_gradients import multiply_in_backward, zero_gradients
from cogrl_kernels.head_checks import check_values
from cogrl_kernels.head_chunks import without_autocast
from cogrl_kernels.head_inputs import HeadInputs
from cogrl_kernels.linear_policy_pass import score_and_differentiate
from cogrl_kernels.policy_arguments import restored
from cogrl_kernels.policy_loss import policy_loss
from cogrl_kernels.policy_metrics import COLUMNS, SIGNS
from cogrl_kernels.policy_tokens import policy_tokens


@torch.library.custom_op("cogrl_kernels::linear_policy_loss", mutates_args=())
def linear_policy_loss_op(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    rows: Tensor | None,
    temperature: Tensor,
    softcap: float | None,
    group: str | None,
    start: int,
    vocabulary: int,
    advantages: Tensor,
    cu_seqlens: Tensor,
    old: Tensor | None,
    ref: Tensor | None,
    rollout: Tensor | None,
    mask: Tensor | None,
    routes: Tensor | None,
    trains: Tensor | None,
    tau_pos: Tensor | None,
    tau_neg: Tensor | None,
    count: Tensor | None,
    numbers: list[float],
    kind: str,
    options: str,
    reduction: str,
    kl_estimator: str,
    n_routes: int,
    autocast: torch.dtype | None,
    impl: str,
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """(loss, table, logprobs, entropy, gradients of hidden, weight and bias), all in the dtype of `temperature` (n,).

    `group`, `start` and `vocabulary` are those of a `VocabShard`.
    """
    check_values(hidden, targets, rows, temperature, vocabulary)
    config, number = restored(tau_pos, tau_neg, count, numbers, kind, options, reduction, kl_estimator, n_routes)
    # the config asks for one of the counts, and this is it
    given = {"mask": mask, "routes": routes, "num_tokens": number, "num_rollouts": number}
    given |= {"old_logprobs": old, "ref_logprobs": ref, "rollout_logprobs": rollout}
    with without_autocast(hidden):
        tokens = policy_tokens(temperature, advantages, cu_seqlens, config, **given)
        head = HeadInputs(hidden, weight, bias, targets, rows, temperature, softcap, group, start, vocabulary)
        logprobs, entropy, grads = score_and_differentiate(head, tokens, trains, config, autocast, impl, wanted)
        out = policy_loss(logprobs, advantages, cu_seqlens, config=config, entropy=entropy, **given)
    return out.loss, out.metrics.table, logprobs, entropy, *grads


@linear_policy_loss_op.register_fake
def _(hidden, weight, bias, targets, rows, temperature, *given):
    n_routes, *_, wanted = given[-4:]
    vector = torch.empty_like(temperature)
    table = vector.new_empty(n_routes, len(SIGNS), COLUMNS)
    grads = zero_gradients((hidden, weight, bias), wanted, temperature.dtype)
    return vector.new_empty(()), table, vector, torch.empty_like(vector), *grads


multiply_in_backward(linear_policy_loss_op, leaves=3)
