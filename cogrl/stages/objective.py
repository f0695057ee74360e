"""Which policy loss an RL stage minimises: `model.objective` of its YAML. The formulas are in the kernels."""

from dataclasses import dataclass, fields
from itertools import product

import torch
from torch import Tensor

from cogrl.lm_head import Kind, KlEstimator, PolicyLossConfig, Reduction, reduction_of

Temperature = float | dict[str, float] | None


@dataclass(frozen=True)
class Objective:
    """Settings of the policy loss. What is left out has the value that the paper of `kind` uses.

    Args:
        kind: the formula: sapo, grpo, dapo, dr_grpo, gspo, cispo or reinforce.
        reduction: how tokens are averaged: over each completion and then over completions, over all tokens, or by a
            constant length.
        tau_pos, tau_neg: gate temperatures of sapo for positive and for other advantages, one number or one a format.
            (10, 12) is the pair a later study prefers with 2 updates per rollout. (arXiv:2602.19345)
        clip_low, clip_high: the ratio is held in [1 - clip_low, 1 + clip_high]; cispo has no lower bound.
        kl_coef: weight of the estimate of KL(policy || reference); the stage then needs `reference`.
        kl_estimator: k1, k2 or k3, see `cogrl.objectives.kl`.
        entropy_coef: weight of the entropy, which is subtracted from the loss.
        is_cap: truncated importance sampling. The old log-probabilities are made by the policy in training, and every
            token is weighted by how much more likely they are than those of the engine that sampled, at most `is_cap`
            times; infinity leaves the weight as it is. None takes the engine's for the old ones, without a weight.
        length: the constant of fixed_length, in tokens; None takes `sampling.max_new_tokens`.

    Raises ValueError on values out of range and on settings that the kind does not use.
    """

    kind: Kind
    reduction: Reduction | None = None
    tau_pos: Temperature = None
    tau_neg: Temperature = None
    clip_low: float | None = None
    clip_high: float | None = None
    kl_coef: float = 0.0
    kl_estimator: KlEstimator = "k3"
    entropy_coef: float = 0.0
    is_cap: float | None = None
    length: int | None = None

    def __post_init__(self) -> None:
        if self.kl_coef < 0:
            raise ValueError(f"kl_coef={self.kl_coef} would push the policy away from its reference; use 0 or more")
        each = (tau.values() if isinstance(tau, dict) else [tau] for tau in (self.tau_pos, self.tau_neg))
        for tau_pos, tau_neg in product(*each):
            self._loss(tau_pos, tau_neg, limit=1, n_routes=1)

    def check_formats(self, formats: tuple[str, ...]) -> None:
        """Raises ValueError unless temperatures by format name exactly these."""
        for name in ("tau_pos", "tau_neg"):
            tau = getattr(self, name)
            if isinstance(tau, dict) and set(tau) != set(formats):
                raise ValueError(f"{name}={tau}: need one positive temperature, or one for each format of {formats}")

    def loss(
        self, rows: list[str], formats: tuple[str, ...], limit: int, device: torch.device | str = "cpu"
    ) -> PolicyLossConfig:
        """The loss of completions on the formats `rows`, one a row; at most `limit` tokens each.

        `formats` are all that the telemetry tells apart; temperatures by format become tensors on `device`.
        """

        def by_row(tau: Temperature) -> float | Tensor | None:
            if not isinstance(tau, dict):
                return tau
            return torch.tensor([tau[format] for format in rows]).to(device, non_blocking=True)

        return self._loss(by_row(self.tau_pos), by_row(self.tau_neg), limit, len(formats))

    def _loss(
        self, tau_pos: float | Tensor | None, tau_neg: float | Tensor | None, limit: int, n_routes: int
    ) -> PolicyLossConfig:
        settings = {field.name: getattr(self, field.name) for field in fields(self)}
        settings |= {"tau_pos": tau_pos, "tau_neg": tau_neg, "n_routes": n_routes}
        if self.length is None and reduction_of(self.kind, self.reduction) == "fixed_length":
            settings["length"] = limit
        return PolicyLossConfig(**settings)
