"""Before the first update: whether the engine samples from the policy that is trained and, where it does not, why."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

import torch
from jaxtyping import Float
from torch import Tensor

from cogrl.lm_head import token_logprobs
from cogrl.models.audio_lm import AudioLM
from cogrl.models.same_logprobs import TOLERANCE
from cogrl.ranks import gathered
from cogrl.rollout.prompts import prompts_of
from cogrl.types import Prompts, Rollouts

LEAST_ESS = 0.8
"""The effective sample size, as a share of the tokens, that truncated importance sampling can still make use of."""
_EXPLAINED = 0.3
"""A cause explains the differences when without it no more than this share of them is left."""
_LOWER = 0.01
"""The share of tokens that may be below the policy's where all are said to be above them."""
_LOOKED_AT = 4
"""So many prompts are made again to compare their ids; a chat template is the same for all."""


@dataclass(frozen=True)
class Apart:
    """How far the engine's log-probabilities of `tokens` tokens lie from the policy's.

    `mean` and `most` are of the absolute differences, in nats; `ess` is the effective sample size of the ratios policy
    to engine, (sum w)^2 / sum w^2, as a share of the tokens.
    """

    tokens: int
    mean: float
    most: float
    ess: float

    @classmethod
    def over_ranks(cls, difference: Float[Tensor, " n"]) -> "Apart":
        """Of the differences engine - policy of every rank's tokens. Collective."""
        weights = (-difference.double()).exp()
        size = difference.double().abs()
        mine = torch.stack([torch.ones_like(size).sum(), size.sum(), weights.sum(), weights.square().sum()])
        ranks = gathered((mine.tolist(), size.max().item() if len(size) else 0.0))
        tokens, total, first, second = (sum(sums) for sums in zip(*(sums for sums, _ in ranks), strict=True))
        most = torch.tensor([most for _, most in ranks]).max().item()
        return cls(int(tokens), total / max(tokens, 1), most, first**2 / (tokens * second) if second else 1.0)

    def __str__(self) -> str:
        return (
            f"log-probabilities differ by {self.mean:.1e} nats on average, {self.most:.1e} at most, over {self.tokens} "
            f"tokens (effective sample size {self.ess:.3f} of 1)"
        )


class EngineCheck:
    """Done once by each process, on a rollout that the weights at hand have sampled; later ones have moved on."""

    def __init__(self) -> None:
        self.done = False

    def due(self, rollouts: Rollouts, version: int) -> bool:
        """Whether these rollouts are the first of the weights of optimiser step `version`."""
        return not self.done and rollouts.policy_version == version

    def check(
        self, policy: AudioLM, rollouts: Rollouts, scored: Float[Tensor, "b t"], temperature: float, corrected: bool
    ) -> dict[str, float]:
        """What to log of it. `scored` are the policy's own log-probabilities; `corrected`: the loss has `is_cap`.

        Raises ValueError, on every rank, when the engine was asked otherwise than the policy would be, or when its
        log-probabilities are further apart than rounding explains and, if `corrected`, than weights can make up for.
        """
        self.done = True
        asked = next(filter(None, gathered(other_prompt(policy, rollouts))), None)
        if asked:
            raise ValueError(f"the engine does not answer what the policy is asked: {asked}")
        difference = (rollouts.sampling_logprobs - scored)[rollouts.completions.mask].float()
        apart = Apart.over_ranks(difference)
        if not apart.mean <= tolerance_of(policy):
            cause = gross_cause(policy, rollouts, difference, apart, temperature)
            cause = next(filter(None, gathered(cause)), None)
            if cause or not corrected or apart.ess < LEAST_ESS:
                reason = cause or finer_cause(apart)
                raise ValueError(f"the engine does not sample from the policy that is trained: {apart}; {reason}")
        return {"engine/logprobs_apart": apart.mean, "engine/logprobs_apart_max": apart.most, "engine/ess": apart.ess}


def likely_cause(policy: AudioLM, rollouts: Rollouts, scored: Float[Tensor, "b t"], temperature: float) -> str:
    """Why the log-probabilities of an engine are not the policy's own `scored`, and what to do about it."""
    difference = (rollouts.sampling_logprobs - scored)[rollouts.completions.mask].float()
    apart = Apart.over_ranks(difference)
    asked = other_prompt(policy, rollouts)
    return asked or gross_cause(policy, rollouts, difference, apart, temperature) or finer_cause(apart)


def tolerance_of(policy: AudioLM) -> float:
    """What rounding explains in the precision that the policy computes in now; engines give float32."""
    kind = policy.device.type
    dtype = policy.lm_head_weight.dtype
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
    if dtype in (torch.float32, torch.float64):
        return TOLERANCE["float32" if torch.get_float32_matmul_precision() == "highest" else "float16"]
    return TOLERANCE[str(dtype).removeprefix("torch.")]


def other_prompt(policy: AudioLM, rollouts: Rollouts) -> str | None:
    """How the prompts that the engine has conditioned on differ from those that the policy makes of the same clips."""
    clips, formats = rollouts.clips[:_LOOKED_AT], rollouts.formats[:_LOOKED_AT]
    own, theirs = prompts_of(policy, clips, formats), rollouts.prompts
    for number, clip in enumerate(clips):
        ours, engines = (ids_of(prompts, number) for prompts in (own, theirs))
        if ours != engines:
            at = next((i for i, pair in enumerate(zip(ours, engines, strict=False)) if pair[0] != pair[1]), None)
            at = min(len(ours), len(engines)) if at is None else at
            here, there = (policy.tokenizer.decode(ids[at : at + 8]) for ids in (ours, engines))
            return (
                f"its prompt of {clip.example.id} has {len(engines)} tokens and the policy's {len(ours)}; from token "
                f"{at} on it reads {there!r} where the policy reads {here!r}: another chat template or tokenizer. Give "
                "the engine the folder that policy.path names, or the policy's own prompt ids"
            )
    return None


def ids_of(prompts: Prompts, number: int) -> list[int]:
    return prompts.input_ids[number][prompts.attention_mask[number].bool()].tolist()


def gross_cause(
    policy: AudioLM, rollouts: Rollouts, difference: Float[Tensor, " n"], apart: Apart, temperature: float
) -> str | None:
    """A cause that no importance weight makes up for: another temperature, or a distribution that was cut.

    Collective: weights that are sharded are gathered.
    """
    if not isfinite(apart.mean):
        return "some are NaN or infinite: see whether the weights that the engine has are finite"
    fitted, share_left = best_temperature(policy, rollouts, temperature)
    if share_left <= _EXPLAINED:
        return (
            f"the engine samples at a temperature of about {fitted:.2f} where sampling.temperature is {temperature:g}, "
            "which explains them: give it the temperature of the stage"
        )
    tolerance = tolerance_of(policy)
    if difference.mean() > tolerance and (difference < -tolerance).float().mean() < _LOWER:
        return (
            "every one is larger than the policy's, as where some tokens are never drawn: switch off top_k, top_p and "
            "min_p in the engine, and see which tokens it or a controller forbids"
        )
    return None


def finer_cause(apart: Apart) -> str:
    """The cause of what neither the temperature nor a cut explains, by its size."""
    if apart.mean <= TOLERANCE["float16"]:
        return (
            "small and in both directions: the engine computes in a lower precision (bfloat16, float16) than the "
            "policy. Let it compute in the policy's dtype, or set objective.is_cap: 2.0, which corrects for it"
        )
    return (
        "neither rounding nor a temperature explains them: it has other weights (see what Engine.sync hands over), or "
        "reads another prompt or other audio than it reports (chat template, sampling rate), or is quantised"
    )


def best_temperature(policy: AudioLM, rollouts: Rollouts, temperature: float) -> tuple[float, float]:
    """The temperature at which the policy comes nearest to the engine on the first group.

    And which share of the mean absolute difference is left there.
    """
    group = rollouts.groups([0])
    apart = dict(differences(policy, group, [temperature * 2 ** (step / 8) for step in range(-20, 21)]))
    near = min(apart, key=apart.get)
    apart |= dict(differences(policy, group, [near * 2 ** (step / 64) for step in range(-8, 9)]))
    best = min(apart, key=apart.get)
    return best, apart[best] / max(apart[temperature], 1e-12)


@torch.no_grad()
def differences(policy: AudioLM, group: Rollouts, temperatures: list[float]) -> Iterator[tuple[float, float]]:
    """Each temperature with the mean absolute difference to the engine's log-probabilities there."""
    completions, mask = group.completions, group.completions.mask_on_host
    was_training = policy.training
    states = policy.eval().token_states(group.prompts, completions, group.group_size)
    policy.train(was_training)
    head = policy.lm_head_weight, completions.ids, mask
    for temperature in temperatures:
        scored = token_logprobs(states, *head, temperature, bias=policy.lm_head_bias, impl=policy.head_impl).logprobs
        yield temperature, (group.sampling_logprobs - scored)[completions.mask].abs().mean().item()
