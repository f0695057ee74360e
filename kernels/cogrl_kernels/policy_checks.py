"""What `policy_loss` and `linear_policy_loss` refuse, with what is wrong, the value, and what to do."""

import torch
from torch import Tensor

from cogrl_kernels.policy_config import PolicyLossConfig

INTEGERS = (torch.int32, torch.int64)


def check_policy_inputs(
    logprobs: Tensor,
    advantages: Tensor,
    cu_seqlens: Tensor,
    config: PolicyLossConfig,
    *,
    per_token: dict[str, Tensor | None],
    mask: Tensor | None,
    routes: Tensor | None,
    counts: dict[str, int | float | Tensor | None],
) -> None:
    """Raises ValueError. `per_token`: float tensors (n,) by argument name, of which old, ref, rollout log-probabilities
    and entropy are asked for by the config. Values on a GPU, or while compiling, become device assertions."""
    if logprobs.ndim != 1 or not logprobs.is_floating_point():
        raise ValueError(f"logprobs is {tuple(logprobs.shape)} {logprobs.dtype}; it needs one axis and a float dtype")
    if cu_seqlens.ndim != 1 or len(cu_seqlens) == 0 or cu_seqlens.dtype not in INTEGERS:
        raise ValueError(f"cu_seqlens is {tuple(cu_seqlens.shape)} {cu_seqlens.dtype}; it needs (rollouts + 1,) ints")
    n, s = len(logprobs), len(cu_seqlens) - 1
    taus = {f"tau_{sign}": tau for sign, tau in zip(("pos", "neg"), config.taus or (), strict=False)}
    shaped = {"advantages": (advantages, ((s,), (n,)))}
    shaped |= {name: (tau, ((), (s,), (n,))) for name, tau in taus.items() if isinstance(tau, Tensor)}
    shaped |= {name: (x, ((n,),)) for name, x in per_token.items() if x is not None}
    for name, (x, shapes) in shaped.items():
        if tuple(x.shape) not in shapes or not x.is_floating_point():
            raise ValueError(
                f"{name} is {tuple(x.shape)} {x.dtype}; it needs a float dtype and, for {s} rollouts of {n} tokens, "
                f"the shape {' or '.join(map(str, dict.fromkeys(shapes)))}"
            )
    if mask is not None and (mask.shape != (n,) or mask.dtype not in (torch.bool, torch.uint8)):
        raise ValueError(f"mask is {tuple(mask.shape)} {mask.dtype}; it must be ({n},), bool or uint8")
    if routes is not None and (routes.shape != (s,) or routes.dtype not in INTEGERS):
        raise ValueError(f"routes is {tuple(routes.shape)} {routes.dtype}; it must be ({s},), int32 or int64")
    for name, count in counts.items():
        if isinstance(count, Tensor) and count.numel() != 1:
            raise ValueError(f"{name} is {tuple(count.shape)}; it must be one number")
        if count is not None and not isinstance(count, Tensor) and not count >= 0:
            raise ValueError(f"{name}={count} must be at least 0")
    _check_terms(config, per_token)
    everything = {"logprobs": logprobs, "cu_seqlens": cu_seqlens, "mask": mask, "routes": routes}
    everything |= {name: x for name, (x, _) in shaped.items() if x.ndim} | counts
    for name, x in everything.items():
        if isinstance(x, Tensor) and x.device != logprobs.device:
            raise ValueError(f"{name} lies on {x.device} and logprobs on {logprobs.device}; move one of them")
    _check_counts(config, counts)
    rises = (cu_seqlens[0] == 0) & (cu_seqlens[-1] == n) & (cu_seqlens.diff() >= 0).all()
    _must(rises, f"cu_seqlens must rise from 0 to len(logprobs){_shown(n)}", cu_seqlens)
    if routes is not None:
        inside = ((routes >= 0) & (routes < config.n_routes)).all()
        _must(inside, f"routes must lie in [0, config.n_routes{_shown(config.n_routes)})", routes)


def refuse_own_in_triton(operation: str, impl: str, config: PolicyLossConfig) -> None:
    """Raises NotImplementedError when Triton is asked for and the loss is a user-defined function."""
    if impl == "triton" and config.is_own:
        raise NotImplementedError(
            f"{operation}: impl='triton', but kind={config.kind!r} is a Python function, which runs in PyTorch; pass "
            "impl='auto'"
        )


def _check_counts(config: PolicyLossConfig, counts: dict[str, int | float | Tensor | None]) -> None:
    used, unused = "num_rollouts", "num_tokens"
    if config.denominator == "token_mean":
        used, unused = unused, used
    if counts.get(unused) is not None and counts.get(used) is None:
        raise ValueError(
            f"{unused} was given, but {config.denominator} divides by {used}; give that one, or change the reduction"
        )


def _check_terms(config: PolicyLossConfig, given: dict[str, Tensor | None]) -> None:
    asked = {
        "ref_logprobs": ("kl_coef", config.kl_coef),
        "entropy": ("entropy_coef", config.entropy_coef),
        "rollout_logprobs": ("is_cap", config.is_cap),
    }
    for name, (setting, value) in asked.items():
        if value and name in given and given[name] is None:
            raise ValueError(f"{setting}={value} needs {name}")
    if given.get("rollout_logprobs") is not None and config.is_cap is None:
        raise ValueError("rollout_logprobs were given but is_cap is None; set it (inf: no cap), or leave them out")


def _shown(number: int) -> str:
    # nothing while compiling: a number that is written into a message holds the graph to this number
    return "" if torch.compiler.is_compiling() else f"={number}"


def _must(holds: Tensor, message: str, found: Tensor) -> None:
    if holds.device.type != "cpu" or torch.compiler.is_compiling():
        torch._assert_async(holds, message)
    elif not holds:
        raise ValueError(f"{message}; it is {found[:16].tolist()}")
