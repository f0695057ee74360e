"""User-defined policy losses, by import path: which arguments they may take, and what they have to return.

    def my_loss(logprobs, ratio, advantages, strength=0.1):      # kind: my_module.my_loss, options: {strength: 0.2}
        return -ratio * advantages + strength * (ratio - 1) ** 2

A function asks by name for any of `INPUTS`; its other parameters are set under `options`, or have a default. Masked
tokens are there, as zeros and with ratio 1; what is returned for them is not used.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from cogrl_kernels.named import arguments_of, function_called
from cogrl_kernels.policy_kinds import KINDS, PolicyKind

INPUTS = {
    "logprobs": "log-probability of each token under the policy in training",
    "old_logprobs": "that under the policy that sampled, without a gradient",
    "log_ratio": "their difference",
    "ratio": "its exponential, the log clamped to +-20",
    "sequence_ratio": "the geometric mean of the ratios of a completion, at each of its tokens",
    "advantages": "that of the completion, at each of its tokens",
}
"""All (n,) tensors in float32, or float64; the head is then gone through twice for a loss that takes sequence_ratio."""

_OWN: dict[str, PolicyKind] = {}
_LOG_RATIOS = (0.0, 0.3, -0.3, 1.5, -2.0, 0.0, 0.1, -0.1)
_ADVANTAGES = (1.0, 2.0, -1.0, -0.5, 0.7, -0.3, 0.0, 0.4)


def kind_called(kind: str) -> PolicyKind:
    """A kind that `check_kind` has let pass."""
    return KINDS[kind] if kind in KINDS else _OWN[kind]


def check_kind(kind: str, options: dict[str, float] | None) -> None:
    """Raises ValueError for an unknown kind, and for a function that asks for what there is not or returns what is no
    loss: it is tried on eight tokens."""
    if kind not in KINDS:
        _check_own(kind, tuple((options or {}).items()))
    elif options:
        raise ValueError(f"options={options} have no meaning for kind={kind!r}; they are those of a function of yours")


def check_loss(kind: str, loss: object, inputs: dict[str, Tensor | float]) -> None:
    """Raises ValueError unless `loss` is one finite number a token (finite on a GPU: a device assertion)."""
    like = next(x for x in inputs.values() if isinstance(x, Tensor))
    if not isinstance(loss, Tensor) or loss.shape != like.shape or not loss.is_floating_point():
        found = f"{tuple(loss.shape)} {loss.dtype}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
        raise ValueError(
            f"kind={kind!r} returned {found} for {len(like)} tokens; a policy loss is a float tensor "
            f"{tuple(like.shape)}, one number a token, without a mean"
        )
    finite = loss.detach().isfinite()
    message = f"kind={kind!r} returned a loss that is not finite"
    if loss.device.type != "cpu":
        torch._assert_async(finite.all(), message)
    elif not finite.all():
        at = int((~finite).nonzero()[0])
        given = {name: x[at].item() if isinstance(x, Tensor) else x for name, x in inputs.items()}
        raise ValueError(f"{message}: {loss[at].item()} for {', '.join(f'{n}={v:.6g}' for n, v in given.items())}")


@functools.cache
def _check_own(kind: str, options: tuple[tuple[str, float], ...]) -> None:
    function = function_called("kind", kind, {name: known.loss for name, known in KINDS.items()})
    given = dict(options)
    found = PolicyKind(function, None, arguments_of("kind", kind, function, tuple(INPUTS), given))
    _try_out(kind, found, given)
    _OWN[kind] = found


def _try_out(kind: str, found: PolicyKind, options: dict[str, float]) -> None:
    log_ratio, advantages = (torch.tensor(x, dtype=torch.float64) for x in (_LOG_RATIOS, _ADVANTAGES))
    old = torch.linspace(-0.1, -4.0, len(log_ratio), dtype=torch.float64)
    logprobs = (old + log_ratio).requires_grad_()
    ratio = (logprobs - old).exp()
    tokens = {"logprobs": logprobs, "old_logprobs": old, "log_ratio": logprobs - old, "ratio": ratio}
    tokens |= {"sequence_ratio": ratio, "advantages": advantages}
    inputs = {name: tokens[name] for name in found.inputs}
    with torch.inference_mode(False), torch.enable_grad():
        loss = _called(kind, found.loss, inputs | options)
        check_loss(kind, loss, inputs)
        if not loss.requires_grad:
            raise ValueError(
                f"kind={kind!r}: the loss has no gradient to the log-probabilities, so nothing would train"
            )
        halves = [{name: x[part] for name, x in inputs.items()} for part in (slice(0, 4), slice(4, 8))]
        apart = [_called(kind, found.loss, half | options) for half in halves]
        for part, half in zip(apart, halves, strict=True):
            check_loss(kind, part, half)
    if not torch.allclose(torch.cat(apart), loss, rtol=1e-9, atol=1e-12):
        raise ValueError(
            f"kind={kind!r}: the loss of a token depends on which others are there; it must not, since tokens come in "
            "chunks: leave means and sums to the reduction"
        )


def _called(kind: str, function: Callable[..., Tensor], inputs: dict[str, Tensor | float]) -> Tensor:
    try:
        return function(**inputs)
    except Exception as error:  # a user's function may raise anything
        raise ValueError(f"kind={kind!r} failed on eight tokens: {type(error).__name__}: {error}") from error
