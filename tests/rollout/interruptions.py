"""Controllers that interrupt completions, at random or by a script, and a policy whose output depends on it."""

import random

import numpy as np
import torch
from torch import nn

from cogrl.rollout import Controller, Excerpt, Tokens
from cogrl.rollout.controllers import Filler, HiddenSpan, Pause
from cogrl.types import Role, Span

WORDS = range(300, 312)
"""What the sharpened policy may write besides its end token."""


class RandomInsertions(Controller):
    """After some tokens: forced tokens, latent ones, a part of the clip, or several of these.

    What happens to a completion depends on the seed, on how long its clip is and on its place in the group alone.
    """

    def __init__(self, seed: int, often: float = 0.5) -> None:
        self.seed, self.often = seed, often

    def begin(self, policy, inputs, group_size):
        self.rate = policy.sampling_rate
        self.inputs, self.group_size = inputs, group_size
        self.drawn = torch.zeros(len(inputs) * group_size, dtype=torch.long, device=policy.device)

    def after(self, tokens, logprobs, rows):
        assert len(tokens) == len(logprobs) == len(rows) and (logprobs < 0).all()
        self.drawn[rows] += 1
        return {row: self.insertions(row) for row in rows.tolist()}

    def insertions(self, row):
        clip = self.inputs[row // self.group_size]
        rng = random.Random(f"{self.seed}/{len(clip)}/{row % self.group_size}/{self.drawn[row].item()}")
        if rng.random() > self.often:
            return []
        return [self.insertion(rng, clip) for _ in range(rng.randint(1, 2))]

    def insertion(self, rng, clip):
        if rng.random() < 0.5:
            role = rng.choice([Role.FORCED, Role.LATENT])
            return Tokens([rng.randrange(100, 290) for _ in range(rng.randint(1, 4))], role)
        samples = rng.randint(int(0.1 * self.rate), len(clip))
        start = rng.randint(0, len(clip) - samples)
        span = Span(start / self.rate, (start + samples) / self.rate)
        return Excerpt(np.ascontiguousarray(clip[start : start + samples]), span)


class Scripted(Controller):
    """What to do to a completion after it has drawn so many tokens: `{(row, drawn): [insertion, ...]}`."""

    def __init__(self, script) -> None:
        self.script = script

    def begin(self, policy, inputs, group_size):
        self.drawn = torch.zeros(len(inputs) * group_size, dtype=torch.long, device=policy.device)

    def after(self, tokens, logprobs, rows):
        self.drawn[rows] += 1
        asked = [(row, self.drawn[row].item()) for row in rows.tolist()]
        return {row: self.script[row, drawn] for row, drawn in asked if (row, drawn) in self.script}


class RandomBends(Controller):
    """Makes one word likelier, now and then and in some rows."""

    def __init__(self, seed: int, often: float = 0.2) -> None:
        self.often, self.generator = often, torch.Generator().manual_seed(seed)

    def adjust(self, logits, rows):
        bent = torch.rand(len(rows), generator=self.generator) < self.often
        logits = logits.clone()
        logits[bent, WORDS[3]] += 2.0
        return logits, bent


FILLER = "<thought>"
"""An entry of the tiny tokenizer."""
LATENTS = {
    "filler": lambda: Filler(FILLER, 3),
    "hidden_span": lambda: HiddenSpan(("[Perception]", "[Response]"), 2),
}


def pausing(latent="filler", pause=0.1, abort=None, **settings):
    """A `Pause` that has learned these thresholds, of short windows."""
    settings = {"window": 2, "gap": 2, "max_pauses": 2, "abort_quantile": None if abort is None else 0.25} | settings
    controller = Pause(LATENTS[latent](), **settings)
    below = pause if abort is None else abort
    controller.lowest.add(torch.tensor([below] * 24 + [pause] * 40))
    return controller


class Forbid(Controller):
    """Tokens that are never drawn."""

    def __init__(self, ids) -> None:
        self.ids = list(ids)

    def adjust(self, logits, rows):
        return logits.index_fill(1, torch.tensor(self.ids), -torch.inf), None


def sharpened(policy, monkeypatch):
    """Larger weights, so that attention is not uniform and frames differ from clip to clip: fresh weights are very
    small.

    There are thirteen tokens to choose from, one of which ends the answer.
    """
    with torch.no_grad():
        for layer in (layer for part in policy.audio_modules for layer in part.modules()):
            if isinstance(layer, (nn.Conv1d, nn.Linear)):
                layer.weight.mul_(8)
        for name, parameter in policy.decoder.named_parameters():
            if name.endswith("proj.weight"):
                parameter.mul_(8)
        policy.head.weight.mul_(4)
    few = torch.full_like(policy.head.bias, -1e4)
    few[[policy.tokenizer.eos_token_id, *WORDS]] = 0.0
    monkeypatch.setattr(type(policy), "lm_head_bias", few)
    return policy
