"""Fillers in the targets of fine-tuning, so that a policy has read them before PAUSE inserts them."""

import random
from dataclasses import dataclass, field

import torch
from torch.nn.utils.rnn import pad_sequence

from cogrl.models.audio_lm import AudioLM
from cogrl.rollout.controllers.latent import Filler
from cogrl.types import Completions, Role


@dataclass(frozen=True)
class TargetFillers:
    """Latent tokens at random places of a share of the targets: they are read and do not train, what follows them does.

    A policy that has never read them is put off by the first pause. (pause-finetuning, arXiv:2310.02226)

    Args:
        latent: what a pause is made of, as of the controller.
        most: one to so many pauses in a target.
        share: of the targets; the others stay as they are, as not every answer pauses.

    Raises ValueError for settings out of range.
    """

    latent: Filler = field(default_factory=Filler)
    most: int = 2
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.most < 1 or not 0 < self.share <= 1:
            raise ValueError(f"target_fillers: most={self.most} must be at least 1 and share={self.share} in (0, 1]")

    def inserted(self, targets: Completions, policy: AudioLM, draw: random.Random) -> Completions:
        """The targets with fillers behind some of their tokens, never behind the last one; `draw` decides where."""
        self.latent.begin(policy, len(targets))
        filler = torch.tensor(self.latent.inserted.ids)
        rows = [self._row(ids, filler, draw) for ids in split(targets)]
        ids = pad_sequence([ids for ids, _ in rows], batch_first=True, padding_value=policy.tokenizer.pad_token_id)
        roles = pad_sequence([roles for _, roles in rows], batch_first=True, padding_value=int(Role.PAD))
        return Completions(ids, roles).to(targets.ids.device)

    def _row(self, ids: torch.Tensor, filler: torch.Tensor, draw: random.Random) -> tuple[torch.Tensor, torch.Tensor]:
        """The ids and roles of one target."""
        room = len(ids) - 1
        count = min(draw.randint(1, self.most), room) if draw.random() < self.share else 0
        places = sorted(draw.sample(range(1, room + 1), count))
        parts = [ids[start:end] for start, end in zip([0, *places], [*places, len(ids)], strict=True)]
        found, roles = [parts[0]], [torch.full_like(parts[0], Role.SAMPLED)]
        for part in parts[1:]:
            found += [filler, part]
            roles += [torch.full_like(filler, Role.LATENT), torch.full_like(part, Role.SAMPLED)]
        return torch.cat(found), torch.cat(roles)


def split(targets: Completions) -> list[torch.Tensor]:
    """The ids of each target without its padding, on the CPU."""
    return [ids[roles != Role.PAD] for ids, roles in zip(targets.ids.cpu(), targets.roles_on_host, strict=True)]
