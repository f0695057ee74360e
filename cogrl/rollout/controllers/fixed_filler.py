"""A control of PAUSE: the same filler at places that have nothing to do with how sure the policy is."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cogrl.models.audio_lm import AudioLM
from cogrl.rollout.controller import Controller, Insertion
from cogrl.rollout.controllers.latent import Filler
from cogrl.rollout.controllers.statistics import pause_statistics
from cogrl.types import ModelInput, Rollouts


class FixedFiller(Controller):
    """Every completion pauses after the same numbers of drawn tokens, or after as many that are drawn at random.

    Args:
        latent: what a pause is made of; `Filler()` when left out.
        places: after how many drawn tokens.
        random_places: instead of `places`: how many, each of them 1 to `last`, different for each completion.
        last: the latest random place.
        seed: of the random places, which are those of the same seed in every call of the engine.
    """

    def __init__(
        self,
        latent: Filler | None = None,
        places: tuple[int, ...] = (),
        random_places: int = 0,
        last: int = 64,
        seed: int = 0,
    ) -> None:
        if bool(places) == bool(random_places) or min((*places, random_places + 1, last)) < 1:
            raise ValueError(
                f"places={places}, random_places={random_places}, last={last}: name places, each at least 1, or a "
                "number of random ones"
            )
        if random_places > last:
            raise ValueError(
                f"random_places={random_places} of the first last={last} tokens: there are no more than that"
            )
        self.latent, self.places = latent or Filler(), places
        self.random_places, self.last, self.seed = random_places, last, seed

    def begin(self, policy: AudioLM, inputs: Sequence[ModelInput], group_size: int) -> None:
        b = len(inputs) * group_size
        self.latent.begin(policy, b)
        self.drawn = torch.zeros(b, dtype=torch.long, device=policy.device)
        if self.places:
            due = torch.tensor(self.places).expand(b, -1)
        else:
            generator = torch.Generator().manual_seed(self.seed)
            due = torch.stack(
                [1 + torch.randperm(self.last, generator=generator)[: self.random_places] for _ in range(b)]
            )
        self.due = due.to(policy.device)

    def after(
        self, tokens: Int[Tensor, " r"], logprobs: Float[Tensor, " r"], rows: Int[Tensor, " r"]
    ) -> Mapping[int, Sequence[Insertion]]:
        drawn = self.drawn[rows] + 1
        self.drawn[rows] = drawn
        due = (self.due[rows] == drawn[:, None]).any(1)
        return {row: [self.latent.inserted] for row in rows[due].tolist()} if due.any() else {}

    def metrics(self, rollouts: Rollouts) -> dict[str, Float[Tensor, " b"]]:
        return pause_statistics(rollouts)
