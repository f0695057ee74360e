"""Random problems that look like rollouts: peaked next-token distributions, ratios off policy, groups of advantages."""

import torch
from torch import Tensor

from cogrl_bench.operation import Setting

PEAK = 12.0
"""Added to the logit of the likely token: at 152k entries it then has about half of the probability."""


class Random:
    """Numbers drawn on the setting's device from its seed."""

    def __init__(self, setting: Setting) -> None:
        self.place = {"device": setting.device, "generator": torch.Generator(setting.device).manual_seed(setting.seed)}

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, **self.place)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, **self.place)

    def index(self, below: int, count: int) -> Tensor:
        return torch.randint(below, (count,), **self.place)


def head_inputs(setting: Setting, random: Random) -> dict[str, Tensor]:
    """`hidden` (tokens, width), `weight` (vocab, width) and `targets` (tokens,), mostly the likely token."""
    width, vocab, tokens = setting.head.width, setting.head.vocab, setting.tokens
    weight = (random.normal(vocab, width) / width**0.5).to(setting.dtype)
    likely, other = random.index(vocab, tokens), random.index(vocab, tokens)
    hidden = (random.normal(tokens, width) + PEAK * weight[likely]).to(setting.dtype)
    return {
        "hidden": hidden.requires_grad_(),
        "weight": weight.requires_grad_(not setting.frozen_head),
        "targets": torch.where(random.uniform(tokens) < 0.75, likely, other),
    }


def lengths(setting: Setting, random: Random) -> Tensor:
    """(rollouts,) tokens of each rollout, `setting.tokens` in all."""
    spread = {"uniform": 0.0, "long-tailed": 1.0}[setting.lengths]
    shares = (spread * random.normal(setting.rollouts)).exp().double()
    ends = (shares.cumsum(0) / shares.sum() * setting.tokens).round().long()
    ends[-1] = setting.tokens
    return ends.diff(prepend=ends.new_zeros(1))


def rollout_inputs(setting: Setting, random: Random) -> dict[str, Tensor]:
    """`advantages` (rollouts,) float32, signs in turn, a share of them 0, and `cu_seqlens` (rollouts + 1,) int32."""
    advantages = random.normal(setting.rollouts).abs()
    advantages[::2] *= -1
    advantages[: round(setting.zero_advantages * setting.rollouts)] = 0.0
    ends = lengths(setting, random).cumsum(0)
    return {"advantages": advantages, "cu_seqlens": torch.cat([ends.new_zeros(1), ends]).int()}
