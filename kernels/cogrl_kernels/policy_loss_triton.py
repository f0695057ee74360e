"""Launches of the Triton policy loss, and the configurations of its kernels that are in use."""

from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from cogrl_kernels import policy_kernel_triton as k
from cogrl_kernels import policy_token_triton as t
from cogrl_kernels.launch import AotCase, require_launchable, signature
from cogrl_kernels.policy_metrics import COLUMNS, SIGNS

KINDS = {
    "sapo": t.SAPO,
    "grpo": t.CLIPPED,
    "dapo": t.CLIPPED,
    "dr_grpo": t.CLIPPED,
    "gspo": t.SEQUENCE,
    "cispo": t.CISPO,
    "reinforce": t.REINFORCE,
}
REDUCTIONS = {"sequence_mean": k.SEQUENCE_MEAN, "token_mean": k.TOKEN_MEAN, "fixed_length": k.FIXED_LENGTH}
ESTIMATORS = {"": 0, "k1": 1, "k2": 2, "k3": 3}
BLOCK, WARPS = 256, 4
ROWS, PART, SUM_WARPS = 256, 16, 8
PROGRAMS = 512
"""How many programs keep a large GPU busy (four on each of 132 multiprocessors)."""


@dataclass(frozen=True)
class LaunchInputs:
    """The tensors of a policy loss, contiguous. A number that is not a tensor is in `scalars`, and None here."""

    logprobs: Tensor
    entropy: Tensor | None
    advantages: Tensor
    cu_seqlens: Tensor
    old: Tensor | None
    ref: Tensor | None
    rollout: Tensor | None
    mask: Tensor | None
    routes: Tensor | None
    tau_pos: Tensor | None
    tau_neg: Tensor | None
    count: Tensor | None
    scalars: Tensor


def launch(
    given: LaunchInputs, kind: str, reduction: str, kl: str, bonus: bool, n_routes: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(loss, table, d loss / d logprobs, d loss / d entropy), all float32."""
    logprobs, advantages, scalars = given.logprobs, given.advantages, given.scalars
    n, s = len(logprobs), len(given.cu_seqlens) - 1
    require_launchable("policy_loss", k.policy_kernel, *vars(given).values())
    splits = blocks_side_by_side(n, s)
    each = t.EACH_ROLLOUT if len(advantages) == s else t.EACH_TOKEN
    rows_of_rollout = splits * lanes(each)
    empty = logprobs.new_empty
    grad, loss = empty(n, dtype=torch.float32), empty((), dtype=torch.float32)
    grad_entropy = empty(n if bonus else 0, dtype=torch.float32)
    table = empty(n_routes, len(SIGNS), COLUMNS, dtype=torch.float32)
    partials = empty(s * rows_of_rollout, k.WIDTH.value, dtype=torch.float32)
    place = k.SCALARS.index
    if s:
        k.policy_kernel[(s, splits)](
            logprobs,
            given.entropy,
            advantages,
            given.cu_seqlens,
            given.old,
            given.ref,
            given.rollout,
            None if given.mask is None else given.mask.view(torch.uint8),
            scalars[place("tau_pos") :] if given.tau_pos is None else given.tau_pos,
            scalars[place("tau_neg") :] if given.tau_neg is None else given.tau_neg,
            scalars,
            scalars[place("count") :] if given.count is None else given.count,
            grad,
            grad_entropy if bonus else None,
            partials,
            KIND=KINDS[kind],
            REDUCTION=REDUCTIONS[reduction],
            ESTIMATOR=ESTIMATORS[kl],
            ADVANTAGES=each,
            TAUS_POS=values_of(given.tau_pos, s),
            TAUS_NEG=values_of(given.tau_neg, s),
            BLOCK=BLOCK,
            LANES=lanes(each),
            num_warps=WARPS,
        )
    k.sum_kernel[(n_routes, len(SIGNS), k.WIDTH.value // PART)](
        partials, given.routes, table, loss, len(partials), rows_of_rollout, ROWS=ROWS, PART=PART, num_warps=SUM_WARPS
    )
    return loss, table, grad, grad_entropy


def blocks_side_by_side(n: int, s: int) -> int:
    """Programs for each of `s` rollouts of together `n` tokens. Lengths are on the device and are not waited for."""
    return max(1, min(PROGRAMS // max(s, 1), 32, triton.cdiv(n, BLOCK)))


def lanes(each) -> int:
    """Signs of the advantage that one program may meet, up to a power of two."""
    return 1 if each == t.EACH_ROLLOUT else 4


def values_of(tau: Tensor | None, s: int):
    if tau is None or tau.ndim == 0:
        return t.EACH_CALL
    return t.EACH_ROLLOUT if len(tau) == s else t.EACH_TOKEN


def aot_cases() -> list[AotCase]:
    """Every kind with all it can use, per token and per rollout, and the smallest: a first update without extras."""
    vectors = (
        "logprobs",
        "entropy",
        "old",
        "ref",
        "rollout",
        "grad",
        "grad_entropy",
        "advantages",
        "tau_pos",
        "tau_neg",
    )
    floats = dict.fromkeys((*vectors, "partials"), "*fp32")
    full = floats | {"cu_seqlens": "*i32", "mask": "*u8", "scalars": "*fp32", "count": "*fp32"}
    cases = []
    for name, kind in {"clipped" if kind == t.CLIPPED else name: kind for name, kind in KINDS.items()}.items():
        for each in (t.EACH_ROLLOUT, t.EACH_TOKEN):
            cases.append(_case(f"policy {name} {('', 'rollout', 'token')[each.value]}", full, kind, 3, each))
    optional = ("entropy", "old", "ref", "rollout", "mask", "grad_entropy")
    least = {name: kind for name, kind in full.items() if name not in optional}
    cases.append(_case("policy sapo first update", least, t.SAPO, 0, t.EACH_ROLLOUT))
    pointers = {"partials": "*fp32", "table": "*fp32", "loss": "*fp32", "routes": "*i64"}
    types = signature(k.sum_kernel, **pointers, rows="i32", rows_of_rollout="i32")
    cases.append(AotCase("policy sums", k.sum_kernel, types, {"ROWS": ROWS, "PART": PART}, tuple(pointers), SUM_WARPS))
    return cases


def _case(name: str, types: dict[str, str], kind, estimator: int, each) -> AotCase:
    absent = {name: None for name in k.policy_kernel.arg_names if name.islower() and name not in types}
    settings = {
        "KIND": kind.value,
        "REDUCTION": k.SEQUENCE_MEAN.value,
        "ESTIMATOR": estimator,
        "ADVANTAGES": each.value,
        "TAUS_POS": each.value,
        "TAUS_NEG": each.value,
        "BLOCK": BLOCK,
        "LANES": lanes(each),
    }
    # a scalar read through a pointer lies inside `scalars`, at no multiple of 16 bytes
    aligned = tuple(name for name in types if name != "count")
    return AotCase(name, k.policy_kernel, signature(k.policy_kernel, **types), absent | settings, aligned, WARPS)
