"""Completion tokens and where each came from: drawn by the policy, put there by a controller, audio, or padding."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.functional import pad

from cogrl.types.clip_tensors import ClipTensors, check_clip_counts, clips_of_rows, join_clips, pick_clips


class Role(IntEnum):
    """Where a completion token came from. Only `SAMPLED` tokens train."""

    PAD = 0
    """Behind the end of its row; no model reads it."""
    SAMPLED = 1
    """Drawn by the policy from its own distribution, the end token included; of fine-tuning, the target."""
    FORCED = 2
    """Put there by a controller."""
    LATENT = 3
    """Time to compute: put there by a controller, or drawn and hidden by one; it is not part of the text."""
    AUDIO = 4
    """A placeholder: its embedding is one frame of a clip that a controller inserted."""
    BENT = 5
    """Drawn by the policy from logits that a controller changed: part of the text, but it does not train."""


@dataclass(frozen=True)
class Completions:
    """Right-padded token ids, `group_size` adjacent rows for each prompt: `b = p * group_size`.

    `roles` holds a `Role` for each token; a row's padding is all behind its other tokens. `audio` holds the family's
    tensors of the clips that controllers inserted, row by row and in each in the order of their placeholders;
    `clip_counts` says how many each row has (None: none). Raises ValueError when they are not as many as `audio` has.
    """

    ids: Int[Tensor, "b t"]
    roles: Int[Tensor, "b t"]
    audio: ClipTensors = field(default_factory=dict)
    clip_counts: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.clip_counts is None:
            object.__setattr__(self, "clip_counts", (0,) * len(self))
        check_clip_counts(self.audio, self.clip_counts, len(self), "completions")

    @classmethod
    def from_mask(cls, ids: Int[Tensor, "b t"], mask: Bool[Tensor, "b t"]) -> "Completions":
        """Text of which the tokens under `mask` train; what stands between and before them is only read."""
        read = mask.flip(1).cumsum(1).flip(1) > 0  # up to the last token that trains
        roles = torch.where(mask, Role.SAMPLED.value, torch.where(read, Role.FORCED.value, Role.PAD.value))
        return cls(ids, roles)

    def __len__(self) -> int:
        return self.ids.shape[0]

    def to(self, device: torch.device) -> "Completions":
        """The same on another device; roles that are on the CPU already are kept."""
        audio = {name: value.to(device) for name, value in self.audio.items()}
        moved = Completions(self.ids.to(device), self.roles.to(device), audio, self.clip_counts)
        if "roles_on_host" in self.__dict__ or self.roles.device.type == "cpu":
            moved.__dict__["roles_on_host"] = self.roles_on_host
        return moved

    @cached_property
    def mask(self) -> Bool[Tensor, "b t"]:
        """True on the tokens that train: those the policy drew from its own distribution."""
        return self.roles == Role.SAMPLED

    @cached_property
    def roles_on_host(self) -> Int[Tensor, "b t"]:
        """The roles on the CPU, where shapes are decided. Asking for them waits for the device once."""
        return self.roles.cpu()

    @cached_property
    def mask_on_host(self) -> Bool[Tensor, "b t"]:
        """The mask on the CPU."""
        return self.roles_on_host == Role.SAMPLED

    def rows(self, index: Int[Tensor, " k"]) -> "Completions":
        """The rows at `index`, in that order, with their audio."""
        places = index.tolist()
        audio = pick_clips(self.audio, clips_of_rows(self.clip_counts, places))
        return Completions(self.ids[index], self.roles[index], audio, tuple(self.clip_counts[row] for row in places))

    def with_rows(self, index: Int[Tensor, " k"], other: "Completions") -> "Completions":
        """These completions, the rows at `index` replaced by all those of `other`; the width is that of the wider."""
        chosen = torch.arange(len(self))
        chosen[index] = len(self) + torch.arange(len(other))
        both = Completions(
            stacked(self.ids, other.ids),
            stacked(self.roles, other.roles),
            join_clips([self.audio, other.audio]),
            (*self.clip_counts, *other.clip_counts),
        )
        return both.rows(chosen)


def stacked(above: Tensor, below: Tensor) -> Tensor:
    """Two tensors of rows, one under the other, the narrower padded with zeros at its end."""
    width = max(above.shape[1], below.shape[1])
    return torch.cat([pad(rows, (0, width - rows.shape[1])) for rows in (above, below)])


def drawn_ids(completions: Completions, end_ids: Sequence[int]) -> list[Tensor]:
    """For each row the ids of the tokens that the policy drew, without an end token at their end.

    Forced and latent tokens, placeholders and padding are no part of it.
    """
    said = []
    for ids, roles in zip(completions.ids.cpu(), completions.roles_on_host, strict=True):
        drawn = ids[(roles == Role.SAMPLED) | (roles == Role.BENT)]
        said.append(drawn[:-1] if len(drawn) and int(drawn[-1]) in end_ids else drawn)
    return said
