"""Kullback-Leibler divergence between the next-token distributions of a student and a teacher, without their logits.

In PyTorch, forward: `(p * (log p - log q)).sum(-1)` with `log q = log_softmax((student @ weight.T + bias) / T)` and
`log p` the same of the teacher; reverse: the two change places. Both whole distributions of a chunk of tokens are
there for a moment, so the gradient of the student is made at once: one pass, as in `linear_policy_loss`.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cogrl_kernels.dispatch import choose
from cogrl_kernels.forward_gradients import multiply_in_backward, takes_gradient, zero_gradients
from cogrl_kernels.head_chunks import (
    accumulate_,
    autocast_dtype,
    compute_dtype,
    fill_logits,
    gradient_dtype,
    operand_dtype,
    parts,
    product,
    rounded,
    training_rows,
    without_autocast,
)

Direction = Literal["forward", "reverse"]


@dataclass(frozen=True)
class LinearKlOutput:
    """`loss`, the weighted sum, with gradients to the student; `kl` (m,) of each token in nats, detached."""

    loss: Tensor
    kl: Tensor


def linear_kl(
    student: Tensor,
    weight: Tensor,
    teacher: Tensor,
    teacher_weight: Tensor,
    weights: Tensor,
    *,
    bias: Tensor | None = None,
    temperature: float = 1.0,
    direction: Direction = "forward",
    impl: Literal["auto", "chunked", "reference"] = "auto",
) -> LinearKlOutput:
    """`sum(weights * KL)` over `m` tokens: forward KL(teacher || student) or reverse KL(student || teacher).

    `student` (m, d) and `teacher` (m, e) are the states that predict the same token; `weight` (v, d) and
    `teacher_weight` (v, e) their heads, `bias` (v,) is added to the logits of both and takes no gradient. `temperature`
    divides both logits; no factor T^2 is applied. Gradients reach `student` and `weight` (not when it is frozen), never
    the teacher. "reference" holds all logits. Raises ValueError on shapes that do not fit.
    """
    _check(student, weight, teacher, teacher_weight, weights, bias, temperature, direction)
    function = choose("linear_kl", impl, {"chunked": chunked, "reference": reference}, "chunked")
    given = student, weight, teacher.detach(), teacher_weight.detach(), weights, bias, temperature, direction
    autocast = autocast_dtype(student)
    with without_autocast(student):
        loss, kl = function(*given, autocast)
    return LinearKlOutput(loss, kl.detach())


def reference(student, weight, teacher, teacher_weight, weights, bias, temperature, direction, autocast):
    """The truth: every logit at once, gradients by autograd."""
    dtype = compute_dtype(student, weight)
    offset = 0 if bias is None else bias.detach().to(dtype)
    log_q, log_p = (
        torch.log_softmax((h @ w.T + offset) / temperature, -1)
        for h, w in (
            [rounded(x, autocast).to(dtype) for x in head] for head in ((student, weight), (teacher, teacher_weight))
        )
    )
    first, second = (log_p, log_q) if direction == "forward" else (log_q, log_p)
    kl = (first.exp() * (first - second)).sum(-1)
    return (weights.to(dtype) * kl).sum(), kl


def chunked(student, weight, teacher, teacher_weight, weights, bias, temperature, direction, autocast):
    """Rows of both distributions at a time, overwritten by the gradient of the student's logits."""
    given = student, weight, teacher, teacher_weight, weights.detach(), None if bias is None else bias.detach()
    loss, kl, *_ = linear_kl_op(*given, temperature, direction, autocast, takes_gradient(student, weight))
    return loss, kl


@torch.library.custom_op("cogrl_kernels::linear_kl", mutates_args=())
def linear_kl_op(
    student: Tensor,
    weight: Tensor,
    teacher: Tensor,
    teacher_weight: Tensor,
    weights: Tensor,
    bias: Tensor | None,
    temperature: float,
    direction: str,
    autocast: torch.dtype | None,
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(loss, kl, gradients of student and weight), all in the dtype of the computation."""
    dtype = compute_dtype(student, weight)
    weights, kl = weights.to(dtype), student.new_zeros(len(student), dtype=dtype)
    grads = grad_student, grad_weight = zero_gradients((student, weight), wanted, dtype)
    wants_student, wants_weight = wanted
    student, weight, teacher, teacher_weight = (
        rounded(x, autocast) for x in (student, weight, teacher, teacher_weight)
    )
    head = weight.to(operand_dtype(student, weight))
    teacher_head = teacher_weight.to(operand_dtype(teacher, teacher_weight))
    differentiated = gradient_dtype(head.dtype)
    gradient_head = head.to(differentiated)
    with without_autocast(student):
        for part in parts(len(student), training_rows(len(weight), student.is_cuda)):
            h = student[part].to(head.dtype)
            log_q = _log_softmax_(fill_logits(h, head, bias, dtype), temperature)
            states = teacher[part].to(teacher_head.dtype)
            log_p = _log_softmax_(fill_logits(states, teacher_head, bias, dtype), temperature)
            kl[part], dz = DIRECTIONS[direction](log_q, log_p)
            if not any(wanted):
                continue
            dz = dz.mul_(weights[part, None] / temperature).to(differentiated)
            if wants_student:
                grad_student[part] = product(dz, gradient_head, dtype)
            if wants_weight:
                accumulate_(grad_weight, dz.T, h.to(differentiated))
    return (weights * kl).sum(), kl, *grads


@linear_kl_op.register_fake
def _(student, weight, *given):
    dtype = compute_dtype(student, weight)
    kl = student.new_empty(student.shape[0], dtype=dtype)  # `len` would fix the size for ever
    return kl.new_empty(()), kl, *zero_gradients((student, weight), given[-1], dtype)


multiply_in_backward(linear_kl_op, leaves=2)


def _log_softmax_(z: Tensor, temperature: float) -> Tensor:
    z.div_(temperature)
    z.sub_(z.amax(-1, keepdim=True))  # so that the likely tokens, which carry the divergence, are small exact numbers
    return z.sub_(z.logsumexp(-1, keepdim=True))


def _forward(log_q: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor]:
    p = log_p.exp()
    kl = log_p.sub_(log_q).mul_(p).sum(-1)
    return kl, log_q.exp_().sub_(p)


def _reverse(log_q: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor]:
    difference = log_p.neg_().add_(log_q)
    q = log_q.exp_()
    kl = (q * difference).sum(-1)
    return kl, difference.sub_(kl[:, None]).mul_(q)


DIRECTIONS = {"forward": _forward, "reverse": _reverse}
"""(log q, log p), both consumed -> (KL (c,), d KL / d (student logits / T) (c, v))."""


def _check(student, weight, teacher, teacher_weight, weights, bias, temperature, direction) -> None:
    for name, states, head in (("student", student, weight), ("teacher", teacher, teacher_weight)):
        if states.ndim != 2 or head.ndim != 2 or states.shape[1] != head.shape[1]:
            raise ValueError(
                f"{name} is {tuple(states.shape)} and its head {tuple(head.shape)}; need (m, d) and (v, d)"
            )
    if len(student) != len(teacher) or weights.shape != (len(student),):
        raise ValueError(
            f"{len(student)} student states, {len(teacher)} teacher states, weights {tuple(weights.shape)}; they are "
            "of the same tokens, one each"
        )
    if len(weight) != len(teacher_weight):
        raise ValueError(f"the student knows {len(weight)} tokens, the teacher {len(teacher_weight)}; need the same")
    if bias is not None and bias.shape != (len(weight),):
        raise ValueError(f"bias is {tuple(bias.shape)} for a vocabulary of {len(weight)}")
    if not temperature > 0:
        raise ValueError(f"temperature={temperature} must be positive")
    if direction not in DIRECTIONS:
        raise ValueError(f"direction={direction!r} is unknown; pass one of {', '.join(DIRECTIONS)}")
