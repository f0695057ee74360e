"""The settings of a policy loss as an operator of `torch.library` takes them: tensors, numbers and words."""

import math

from torch import Tensor

from cogrl_kernels.policy_config import PolicyLossConfig
from cogrl_kernels.policy_tokens import Number

SETTINGS = ("tau_pos", "tau_neg", "clip_low", "clip_high", "kl_coef", "entropy_coef", "is_cap", "length")


def apart(*values: Number | None) -> tuple[list[Tensor | None], list[float]]:
    """(tensors, numbers): each value is in one of the lists; None in the first and NaN in the second stand for none."""
    tensors = [x if isinstance(x, Tensor) else None for x in values]
    return tensors, [math.nan if x is None or isinstance(x, Tensor) else x for x in values]


def flat(
    config: PolicyLossConfig, count: Number | None
) -> tuple[Tensor | None, Tensor | None, Tensor | None, list[float], str, str, str, str, int]:
    """(tau_pos, tau_neg, count, numbers, kind, options, reduction, kl_estimator, n_routes): arguments for `restored`.

    `count` is that of the denominator.
    """
    tensors, numbers = apart(*(getattr(config, name) for name in SETTINGS), count)
    options = config.options or {}
    words = config.kind, ",".join(options), config.denominator, config.kl_estimator
    return tensors[0], tensors[1], tensors[-1], [*numbers, *options.values()], *words, config.n_routes


def restored(
    tau_pos: Tensor | None,
    tau_neg: Tensor | None,
    count: Tensor | None,
    numbers: list[float],
    kind: str,
    options: str,
    reduction: str,
    kl_estimator: str,
    n_routes: int,
) -> tuple[PolicyLossConfig, Number | None]:
    """(config, count) that `flat` took apart."""
    of_settings = len(SETTINGS) + 1
    *values, number = (None if math.isnan(x) else x for x in numbers[:of_settings])
    settings = dict(zip(SETTINGS, values, strict=True))
    settings |= {name: tau for name, tau in (("tau_pos", tau_pos), ("tau_neg", tau_neg)) if tau is not None}
    own = dict(zip(options.split(",") if options else (), numbers[of_settings:], strict=True))
    settings |= {"options": own or None, "kl_estimator": kl_estimator}
    config = PolicyLossConfig(kind, reduction, n_routes=n_routes, **settings)
    return config, number if count is None else count
