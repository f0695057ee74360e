"""Which policy loss, with which bounds and which denominator. Values only; the formulas are in `policy_kinds`."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

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

CHOICES = {"kind": get_args(Kind), "reduction": get_args(Reduction), "kl_estimator": get_args(KlEstimator)}


def reduction_of(kind: Kind, reduction: Reduction | None = None) -> Reduction:
    """The one asked for, else that of the paper of `kind`."""
    return DEFAULTS[kind].reduction if reduction is None else reduction


@dataclass(frozen=True)
class PolicyLossConfig:
    """Settings of `policy_loss` and `linear_policy_loss`. None = what the paper of `kind` uses (`DEFAULTS`).

    `tau_pos`, `tau_neg` (sapo) may be tensors of shape (), (rollouts,) or (tokens,), so that temperatures can differ by
    route or token and change during a run. `clip_low`, `clip_high`: the ratio is held in [1 - clip_low, 1 + clip_high];
    cispo has no lower bound. `length` (tokens): the constant of fixed_length, usually the generation limit.
    `kl_coef` adds that much of the estimate `kl_estimator` of KL(policy || reference), `entropy_coef` subtracts that
    much entropy. `is_cap`: the policy-gradient term, and only it, is weighted by min(exp(old - rollout), is_cap), which
    corrects for sampling in another precision; infinity leaves the weight as it is. `n_routes`: how many routes the
    telemetry tells apart.
    Raises ValueError on values out of range and on settings that the kind does not use.
    """

    kind: Kind = "sapo"
    reduction: Reduction | None = None
    tau_pos: Temperature | None = None
    tau_neg: Temperature | None = None
    clip_low: float | None = None
    clip_high: float | None = None
    kl_coef: float = 0.0
    kl_estimator: KlEstimator = "k3"
    entropy_coef: float = 0.0
    is_cap: float | None = None
    length: int | None = None
    n_routes: int = 1

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices and not (name == "reduction" and value is None):
                raise ValueError(f"{name}={value!r} is unknown; pass one of {', '.join(choices)}")
        uses = DEFAULTS[self.kind]
        used = {"tau_pos": uses.taus, "tau_neg": uses.taus, "clip_low": uses.clip_low, "clip_high": uses.clip_high}
        for name, default in used.items():
            if default is None and getattr(self, name) is not None:
                raise ValueError(f"{name}={getattr(self, name)} has no meaning for kind={self.kind!r}; leave it out")
        for name in ("tau_pos", "tau_neg", "is_cap"):
            value = getattr(self, name)
            # a tensor is not read: that would wait for the device
            if value is not None and not isinstance(value, Tensor) and not value > 0:
                raise ValueError(f"{name}={value} must be positive")
        for name in ("kl_coef", "entropy_coef"):
            value = getattr(self, name)
            if not abs(value) < math.inf:
                raise ValueError(f"{name}={value} must be finite")
        low, high = self.clips
        if not 0 <= (low or 0) <= 1 or not (high or 0) >= 0:
            raise ValueError(f"clip_low={low}, clip_high={high}: need 0 <= clip_low <= 1 and clip_high >= 0")
        if self.denominator == "fixed_length" and (self.length is None or self.length < 1):
            raise ValueError(f"length={self.length}: fixed_length needs the generation limit, in tokens")
        if self.denominator != "fixed_length" and self.length is not None:
            raise ValueError(f"length={self.length} has no meaning for reduction={self.denominator!r}")
        if self.n_routes < 1:
            raise ValueError(f"n_routes={self.n_routes} must be at least 1")

    @property
    def denominator(self) -> Reduction:
        return reduction_of(self.kind, self.reduction)

    @property
    def clips(self) -> tuple[float | None, float | None]:
        default = DEFAULTS[self.kind]
        low = default.clip_low if self.clip_low is None else self.clip_low
        high = default.clip_high if self.clip_high is None else self.clip_high
        return low, high

    @property
    def taus(self) -> tuple[Temperature, Temperature] | None:
        default = DEFAULTS[self.kind].taus
        if default is None:
            return None
        pos, neg = default
        return pos if self.tau_pos is None else self.tau_pos, neg if self.tau_neg is None else self.tau_neg

    @property
    def of_sequences(self) -> bool:
        """The ratio is that of a whole rollout, so a part of its tokens does not determine the loss."""
        return self.kind == "gspo"
