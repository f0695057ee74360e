"""Which policy loss an RL stage minimises: `model.objective` of its YAML. The formulas are in the kernels."""

from dataclasses import dataclass, fields
from itertools import product

import torch
from torch import Tensor

from cogrl.lm_head import LossSettings, PolicyLossConfig, PolicyMetrics

Temperature = float | dict[str, float] | None


@dataclass(frozen=True)
class Objective(LossSettings):
    """Settings of the policy loss: those of the kernels, and temperatures by format.

    With `kl_coef` the stage needs `reference`. With `is_cap` the old log-probabilities are made by the policy in
    training, and the engine that sampled is corrected for; without, the engine's are taken for the old ones.
    fixed_length without `length` takes `sampling.max_new_tokens`.

    Args:
        tau_pos: gate temperature of sapo for positive advantages, one number or one a format.
        tau_neg: that for other advantages. (10, 12) is the pair a later study prefers with 2 updates per rollout.
            (arXiv:2602.19345)

    Raises ValueError on values out of range and on settings that the kind does not use.
    """

    tau_pos: Temperature = None
    tau_neg: Temperature = None

    def __post_init__(self) -> None:
        super().__post_init__()
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
        if self.length is None and self.denominator == "fixed_length":
            settings["length"] = limit
        return PolicyLossConfig(**settings)


def refuse_broken(metrics: PolicyMetrics) -> None:
    """Raises RuntimeError when no token has a finite log-probability: such a policy must not train on."""
    if metrics["bad"] and metrics["bad"] == metrics["tokens"]:
        raise RuntimeError(
            f"none of the {int(metrics['tokens'])} tokens of this update has finite log-probabilities; "
            "lower optim.lr or go back to an earlier checkpoint"
        )
