"""Which policy loss, with which bounds and which denominator. Values only; the formulas are in `policy_kinds`."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from cogrl_kernels.own_kind import check_kind, kind_called
from cogrl_kernels.policy_kinds import PolicyKind

Temperature = float | Tensor
Kind = Literal["sapo", "grpo", "dapo", "dr_grpo", "gspo", "cispo", "reinforce"]
Reduction = Literal["sequence_mean", "token_mean", "fixed_length"]
KlEstimator = Literal["k1", "k2", "k3"]


@dataclass(frozen=True)
class KindDefaults:
    """What a kind uses and the values of its paper; None = the kind has no such setting."""

    reduction: Reduction
    clip_low: float | None = None
    clip_high: float | None = None
    taus: tuple[float, float] | None = None


DEFAULTS = {
    "sapo": KindDefaults("sequence_mean", taus=(1.0, 1.05)),
    "grpo": KindDefaults("sequence_mean", 0.2, 0.2),
    "dapo": KindDefaults("token_mean", 0.2, 0.28),
    "dr_grpo": KindDefaults("fixed_length", 0.2, 0.2),
    "gspo": KindDefaults("sequence_mean", 3e-4, 4e-4),
    # the paper gives no number for its upper bound; a cap of 1 + 4 = 5 is that of arXiv 2510.13786
    "cispo": KindDefaults("token_mean", clip_high=4.0),
    "reinforce": KindDefaults("sequence_mean"),
}
"""SAPO arXiv 2511.20347, GRPO 2402.03300, DAPO 2503.14476, Dr. GRPO 2503.20783, GSPO 2507.18071, CISPO 2506.13585."""

OWN_DEFAULTS = KindDefaults("sequence_mean")

CHOICES = {"reduction": get_args(Reduction), "kl_estimator": get_args(KlEstimator)}


@dataclass(frozen=True)
class LossSettings:
    """What a policy loss is, apart from temperatures and batch. What is left out has the value of the paper of `kind`.

    Args:
        kind: the formula: sapo, grpo, dapo, dr_grpo, gspo, cispo or reinforce, or a function of your own by its import
            path, my_module.my_loss; see `own_kind`.
        reduction: how tokens are averaged: over each completion and then over completions, over all tokens, or by a
            constant length.
        clip_low: the ratio is at least 1 - clip_low; cispo has no lower bound.
        clip_high: the ratio is at most 1 + clip_high.
        kl_coef: weight of the estimate of KL(policy || reference).
        kl_estimator: k1, k2 or k3.
        entropy_coef: weight of the entropy, which is subtracted from the loss.
        is_cap: truncated importance sampling: the policy-gradient term, and only it, is weighted by
            min(exp(old - rollout), is_cap), which corrects for sampling in another precision. Infinity leaves the
            weight as it is, None leaves it out.
        length: the constant of fixed_length, in tokens, usually the generation limit.
        options: parameters of a function of your own, by name.

    Raises ValueError on values out of range and on settings that the kind does not use.
    """

    kind: Kind | str
    reduction: Reduction | None = None
    clip_low: float | None = None
    clip_high: float | None = None
    kl_coef: float = 0.0
    kl_estimator: KlEstimator = "k3"
    entropy_coef: float = 0.0
    is_cap: float | None = None
    length: int | None = None
    options: dict[str, float] | None = None

    def __post_init__(self) -> None:
        check_kind(self.kind, self.options)
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices and not (name == "reduction" and value is None):
                raise ValueError(f"{name}={value!r} is unknown; pass one of {', '.join(choices)}")
        self._refuse_unused(clip_low=self.defaults.clip_low, clip_high=self.defaults.clip_high)
        if self.is_cap is not None and not self.is_cap > 0:
            raise ValueError(f"is_cap={self.is_cap} must be positive")
        for name in ("kl_coef", "entropy_coef"):
            value = getattr(self, name)
            if not abs(value) < math.inf:
                raise ValueError(f"{name}={value} must be finite")
        low, high = self.clips
        if not 0 <= (low or 0) <= 1 or not (high or 0) >= 0:
            raise ValueError(f"clip_low={low}, clip_high={high}: need 0 <= clip_low <= 1 and clip_high >= 0")
        if self.length is not None and self.denominator != "fixed_length":
            raise ValueError(f"length={self.length} has no meaning for reduction={self.denominator!r}")
        if self.length is not None and self.length < 1:
            raise ValueError(f"length={self.length}: fixed_length needs the generation limit, in tokens")

    def _refuse_unused(self, **used: object) -> None:
        advice = "leave it out" if self.kind in DEFAULTS else "set what your function takes under options"
        for name, default in used.items():
            if default is None and getattr(self, name) is not None:
                raise ValueError(f"{name}={getattr(self, name)} has no meaning for kind={self.kind!r}; {advice}")

    @property
    def defaults(self) -> KindDefaults:
        return DEFAULTS.get(self.kind, OWN_DEFAULTS)

    @property
    def formula(self) -> PolicyKind:
        return kind_called(self.kind)

    @property
    def is_own(self) -> bool:
        """The loss is a user-defined function: it has no Triton kernel, and its gate is found by autograd."""
        return self.kind not in DEFAULTS

    @property
    def denominator(self) -> Reduction:
        return self.defaults.reduction if self.reduction is None else self.reduction

    @property
    def clips(self) -> tuple[float | None, float | None]:
        low = self.defaults.clip_low if self.clip_low is None else self.clip_low
        high = self.defaults.clip_high if self.clip_high is None else self.clip_high
        return low, high

    @property
    def of_sequences(self) -> bool:
        """The ratio is that of a whole rollout, so a part of its tokens does not determine the loss."""
        return "sequence_ratio" in self.formula.inputs

    @property
    def trains_without_advantage(self) -> bool:
        """A token of zero advantage can have a gradient."""
        return bool(self.kl_coef or self.entropy_coef or self.is_own)


@dataclass(frozen=True)
class PolicyLossConfig(LossSettings):
    """Settings of `policy_loss` and `linear_policy_loss`: those of `LossSettings`, temperatures and telemetry.

    `tau_pos`, `tau_neg` (sapo) may be tensors of shape (), (rollouts,) or (tokens,), so that temperatures can differ by
    route or token and change during a run. `n_routes`: how many routes the telemetry tells apart.
    Raises ValueError on values out of range and on settings that the kind does not use.
    """

    kind: Kind | str = "sapo"
    tau_pos: Temperature | None = None
    tau_neg: Temperature | None = None
    n_routes: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._refuse_unused(tau_pos=self.defaults.taus, tau_neg=self.defaults.taus)
        for name in ("tau_pos", "tau_neg"):
            value = getattr(self, name)
            # a tensor is not read: that would wait for the device
            if value is not None and not isinstance(value, Tensor) and not value > 0:
                raise ValueError(f"{name}={value} must be positive")
        if self.denominator == "fixed_length" and self.length is None:
            raise ValueError("length=None: fixed_length needs the generation limit, in tokens")
        if self.n_routes < 1:
            raise ValueError(f"n_routes={self.n_routes} must be at least 1")

    @property
    def taus(self) -> tuple[Temperature, Temperature] | None:
        if self.defaults.taus is None:
            return None
        pos, neg = self.defaults.taus
        return pos if self.tau_pos is None else self.tau_pos, neg if self.tau_neg is None else self.tau_neg
