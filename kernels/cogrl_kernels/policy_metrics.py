"""Telemetry of a policy loss: one table of sums per (route, advantage sign), and means that are made when asked for.

The table is all that is computed during an update. Sums add up, so `merge` gives the exact telemetry of a batch from
that of its micro-batches or ranks. Nothing waits for the device until a value is read on the host.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from cogrl_kernels.policy_kinds import k1, k2, k3
from cogrl_kernels.policy_tokens import PolicyTokens, TokenTerms

SIGNS = ("pos", "neg", "zero")
"""Of the advantage: the second axis of the table."""
SUMS = ("tokens", "bad", "gate", "ratio", "log_ratio_abs", "kl_old", "k1", "k2", "k3", "is_weight", "entropy")
"""First columns of the table. `tokens` are masked in; of those `bad` have a number that is not finite, and all other
columns leave them out. `kl_old` is k3 against the old policy; k1, k2, k3 are against the reference."""
RATIO_MAX, RATIO_MIN, FIRST_BIN = len(SUMS), len(SUMS) + 1, len(SUMS) + 2
BINS = 32
"""Equal bins of the gate over [0, 1]; the last columns. One half is an edge, so `effective` is exact."""
COLUMNS = FIRST_BIN + BINS
NO_MAX, NO_MIN = 0.0, float("inf")


@torch.no_grad()
def policy_table(terms: TokenTerms, tokens: PolicyTokens, n_routes: int = 1, entropy: Tensor | None = None) -> Tensor:
    """The table (n_routes, 3, COLUMNS) of these tokens, in the dtype of the weights; routes outside are a device error.

    What was not given (reference, rollout log-probabilities, entropy) is NaN.
    """
    good, ratio, log_ratio = terms.good, terms.ratio, terms.log_ratio
    sign = torch.where(tokens.advantages > 0, 0, torch.where(tokens.advantages < 0, 1, 2))
    cell = sign if tokens.route is None else tokens.route.long() * len(SIGNS) + sign
    cells = n_routes * len(SIGNS)
    absent = torch.full_like(ratio, torch.nan)
    kls = [absent] * 3 if terms.ref_log_ratio is None else [k(terms.ref_log_ratio) for k in (k1, k2, k3)]
    measured = [terms.gate, ratio, log_ratio.abs(), k3(-log_ratio), *kls]
    measured += [absent if x is None else x.to(ratio) for x in (terms.is_weight, entropy)]
    values = torch.stack([x.masked_fill(~good, 0.0) if x is not absent else x for x in measured], 1)
    counts = torch.stack([tokens.mask, tokens.mask & ~good], 1).to(ratio)
    sums = ratio.new_zeros(cells, len(SUMS)).index_add(0, cell, torch.cat([counts, values], 1))
    largest = ratio.new_full((cells,), NO_MAX).scatter_reduce(0, cell, ratio.masked_fill(~good, NO_MAX), "amax")
    smallest = ratio.new_full((cells,), NO_MIN).scatter_reduce(0, cell, ratio.masked_fill(~good, NO_MIN), "amin")
    bins = cell * BINS + (terms.gate * BINS).long().clamp(0, BINS - 1)
    histogram = ratio.new_zeros(cells * BINS).index_add(0, bins, good.to(ratio)).view(cells, BINS)
    return torch.cat([sums, largest[:, None], smallest[:, None], histogram], 1).view(n_routes, len(SIGNS), COLUMNS)


def merge(*tables: Tensor) -> Tensor:
    """The table of all tokens that went into these."""
    stacked = torch.stack(tables)
    merged = stacked.sum(0)
    merged[..., RATIO_MAX] = stacked[..., RATIO_MAX].amax(0)
    merged[..., RATIO_MIN] = stacked[..., RATIO_MIN].amin(0)
    return merged


class PolicyMetrics(Mapping[str, Tensor]):
    """Telemetry by name: detached tensors without axes, on the device; NaN = nothing to average.

    `gate`: mean share of the policy gradient that passes (1 on-policy; for grpo one minus the clip fraction), also as
    `gate_pos`, `gate_neg`; `effective`: share of tokens that pass at least one half, and `clipped` the rest;
    `ratio_mean`, `ratio_max`, `ratio_min`, `log_ratio_abs`; `kl_old`: estimate of KL(old || policy); `k1`, `k2`, `k3`:
    of KL(policy || reference), and `kl` the one of the config; `is_weight`, `entropy`; `tokens`, `bad`: counts.
    `of` narrows all of it to a route or an advantage sign.
    """

    MEANS = {"ratio_mean": "ratio"} | {name: name for name in SUMS if name not in ("tokens", "bad", "ratio")}

    def __init__(self, table: Tensor, kl_estimator: str = "k3") -> None:
        self.table, self.kl_estimator = table, kl_estimator
        self._functions = {
            "tokens": lambda: self._sum("tokens"),
            "bad": lambda: self._sum("bad"),
            **{name: lambda column=column: self._sum(column) / self._good() for name, column in self.MEANS.items()},
            "kl": lambda: self._sum(self.kl_estimator) / self._good(),
            "gate_pos": lambda: self.of(sign="pos")["gate"],
            "gate_neg": lambda: self.of(sign="neg")["gate"],
            "effective": lambda: self.gate_histogram()[BINS // 2 :].sum() / self._good(),
            "clipped": lambda: self.gate_histogram()[: BINS // 2].sum() / self._good(),
            "ratio_max": lambda: self._extreme(self.table[..., RATIO_MAX].amax()),
            "ratio_min": lambda: self._extreme(self.table[..., RATIO_MIN].amin()),
        }

    def __getitem__(self, name: str) -> Tensor:
        return self._functions[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._functions)

    def __len__(self) -> int:
        return len(self._functions)

    def of(self, route: int | None = None, sign: str | None = None) -> "PolicyMetrics":
        """The same of one route, or of tokens whose advantage has one sign of `SIGNS`."""
        chosen = torch.ones(self.table.shape[:2], dtype=torch.bool, device=self.table.device)
        if route is not None:
            if not 0 <= route < len(chosen):
                raise IndexError(f"route={route}: the telemetry tells {len(chosen)} apart; see config.n_routes")
            chosen &= torch.arange(len(chosen), device=chosen.device)[:, None] == route
        if sign is not None:
            if sign not in SIGNS:
                raise KeyError(f"sign={sign!r}: the telemetry tells {', '.join(SIGNS)} apart")
            chosen &= torch.arange(len(SIGNS), device=chosen.device) == SIGNS.index(sign)
        nothing = torch.zeros_like(self.table)
        nothing[..., RATIO_MAX], nothing[..., RATIO_MIN] = NO_MAX, NO_MIN
        return PolicyMetrics(torch.where(chosen[..., None], self.table, nothing), self.kl_estimator)

    def gate_histogram(self) -> Tensor:
        """How many tokens have a gate in each of the BINS equal parts of [0, 1]: (BINS,)."""
        return self.table[..., FIRST_BIN:].sum((0, 1))

    def gate_quantile(self, q: float) -> Tensor:
        """The gate below which a share `q` of the tokens lies, linear inside a bin; NaN without tokens."""
        counts = self.gate_histogram()
        below = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        wanted = q * below[-1]
        # empty bins before the first token hold no quantile
        first = (below == 0).sum() - 1
        index = torch.maximum(torch.searchsorted(below, wanted) - 1, first).clamp(max=BINS - 1)
        return (index + (wanted - below[index]) / counts[index]) / BINS

    def _sum(self, column: str) -> Tensor:
        return self.table[..., SUMS.index(column)].sum()

    def _good(self) -> Tensor:
        return self._sum("tokens") - self._sum("bad")

    def _extreme(self, value: Tensor) -> Tensor:
        return torch.where(self._good() > 0, value, torch.nan)
