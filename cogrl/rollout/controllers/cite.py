"""A pause that is no silence: where the policy is unsure it is made to cite a segment, which `Relisten` inserts."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cogrl.formats.segments import OPENED
from cogrl.models.audio_lm import AudioLM
from cogrl.rollout.controller import Tokens
from cogrl.rollout.controllers.latent import Latent
from cogrl.types import Role


class Cite(Latent):
    """The next tokens are those of an opened `<seg>`, whatever the policy would have drawn; the times are its own.

    So a pause of `Pause` becomes a citation: `controllers: [Relisten, Pause(latent=Cite())]`. The forced tokens are
    part of the text, as every reader of citations reads the text, and do not train: their role is `BENT`. The policy
    writes the times and the closing tag, which train as ever; if it does not, nothing is inserted. `length` is how many
    forced tokens there are, known once a policy is.

    Args:
        opened: what is written, which ends in `<seg>`.
    """

    role = Role.BENT

    def __init__(self, opened: str = " " + OPENED) -> None:
        if not opened.endswith(OPENED):
            raise ValueError(f"opened={opened!r} of a forced citation must end in {OPENED}")
        self.opened = opened

    def begin(self, policy: AudioLM, b: int) -> None:
        ids = policy.tokenizer(self.opened, add_special_tokens=False).input_ids
        self.length, self.longest_left = len(ids), 0
        self.ids = torch.tensor(ids, device=policy.device)
        self.left = torch.zeros(b, dtype=torch.long, device=policy.device)

    def open(self, rows: Int[Tensor, " k"]) -> Tokens:
        if len(rows):
            self.left[rows] = self.longest_left = self.length
        return Tokens(())

    def bent(self, rows: Int[Tensor, " r"]) -> Bool[Tensor, " r"] | None:
        return self.left[rows] > 0 if self.longest_left else None

    def adjust(self, logits: Float[Tensor, "r v"], rows: Int[Tensor, " r"]) -> Float[Tensor, "r v"]:
        bent = self.bent(rows)
        if bent is None:
            return logits
        due = self.ids[self.length - self.left[rows].clamp(min=1)]
        others = torch.ones_like(logits, dtype=torch.bool).scatter_(1, due[:, None], False)
        return logits.masked_fill(bent[:, None] & others, -torch.inf)

    def drawn(self, rows: Int[Tensor, " k"]) -> dict[int, Sequence[Tokens]]:
        self.left[rows] -= 1
        self.longest_left -= 1
        return {}
