"""Reinforcement of spoken replies: each is spoken with its completion, and its units have that one's advantage."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cogrl.lm_head import PolicyLossConfig
from cogrl.models.audio_lm import AudioLM
from cogrl.models.speak_decoder import SpeakDecoder
from cogrl.objectives.spoken import unit_objective
from cogrl.rollout.spoken import Speaking, with_speech, written_states
from cogrl.stages.objective import Objective
from cogrl.types import Rollouts, Speech


@dataclass(frozen=True)
class SpeechCredit:
    """Speaks the replies of rollouts, and adds the objective of their units to that of the text.

    The units' gradient ends at the hidden states: the branch learns how to say it, the text what to say.

    Args:
        weight: of the units' objective; 0 leaves the branch as it is and lets a reward listen.
        speaking: how units are drawn; the update scores them at the same temperature.

    Raises ValueError for a negative weight, and for greedy units, which have nothing to compare.
    """

    weight: float = 1.0
    speaking: Speaking = field(default_factory=Speaking)

    def __post_init__(self) -> None:
        if self.weight < 0 or (self.weight and self.speaking.greedy):
            raise ValueError(
                f"speech: weight={self.weight}, greedy={self.speaking.greedy}: a weight is not negative, and units "
                "that are drawn greedily are all alike; set weight: 0 or greedy: false"
            )

    def check(self, policy: AudioLM, objective: Objective, **settings: bool) -> None:
        """Raises ValueError for a policy without a Speak branch, and for each of the `settings` that is on."""
        if policy.speech is None:
            raise ValueError("speech is given and the policy has no Speak branch: add policy.speech, or leave it out")
        refused = settings | {f"reduction {objective.denominator}": objective.denominator == "token_mean"}
        found = [name for name, given in refused.items() if given]
        if found:
            raise ValueError(
                f"speech and {' and '.join(found)}: replies are said in this process when they are drawn, and have one "
                "advantage and one share of the loss a completion; leave one of them out"
            )

    def spoken(self, policy: AudioLM, rollouts: Rollouts, generator: torch.Generator | None) -> Rollouts:
        """The rollouts with their replies said aloud."""
        return with_speech(policy, rollouts, self.speaking, generator)

    def loss(self, policy: AudioLM, rollouts: Rollouts, config: PolicyLossConfig) -> Tensor:
        """The objective of the units of these rollouts; 0 by the same calls where there are none: ranks keep step.

        Raises ValueError for advantages that differ from token to token: units have none of the text's tokens.
        """
        decoder = policy.speech.decoder
        if rollouts.advantages.ndim == 2:
            raise ValueError("speech takes one advantage a completion; leave section_credit out")
        with torch.no_grad():
            rows, read = written_states(policy, rollouts)
        drawn, old, own = (
            part.to(read.states.device) for part in stacked([rollouts.speech[row] for row in rows], decoder)
        )
        logprobs, _ = decoder(read.states, read.mask, drawn, self.speaking.temperature)
        free = (decoder.free(drawn) & own).flatten(1)
        advantages = rollouts.advantages[torch.tensor(rows)] if rows else torch.zeros(1)
        return self.weight * unit_objective(
            logprobs.flatten(1), old.flatten(1), free, advantages, of_rows(config, rows), len(rollouts)
        )


def stacked(
    said: Sequence[Speech], decoder: SpeakDecoder
) -> tuple[Int[Tensor, "b g h"], Float[Tensor, "b g h"], Bool[Tensor, "b g h"]]:
    """The units that were drawn, padded with the end, their log-probabilities, and which steps a reply has had.

    Behind a reply that the budget cut there is no end that was chosen. Without replies it is one of no step.
    """
    longest = max((len(one.drawn) for one in said), default=1)
    drawn = torch.full((max(1, len(said)), longest, decoder.heads), decoder.end)
    old, own = torch.zeros(drawn.shape), torch.zeros(drawn.shape, dtype=torch.bool)
    for i, one in enumerate(said):
        steps = len(one.drawn)
        drawn[i, :steps], old[i, :steps], own[i, :steps] = one.drawn, one.logprobs, True
    return drawn, old, own


def of_rows(config: PolicyLossConfig, rows: list[int]) -> PolicyLossConfig:
    """The objective with the temperatures of these completions alone, where each has its own."""
    own = {name: getattr(config, name) for name in ("tau_pos", "tau_neg")}
    rows = rows or [0]
    return replace(config, **{name: tau[rows] for name, tau in own.items() if isinstance(tau, Tensor) and tau.ndim})
