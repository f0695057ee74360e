"""What a pause is made of: copies of one token, or tokens that the policy draws and nobody reads but itself.

`cogrl.rollout.controllers.cite` has a third one, which is text: an opened citation.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cogrl.models.audio_lm import AudioLM
from cogrl.rollout.controller import Tokens
from cogrl.types import Role


class Latent(ABC):
    """A pause of `length` tokens in some of the `b` completions of a call; `role` is what they are."""

    length: int
    role: Role = Role.LATENT

    @abstractmethod
    def begin(self, policy: AudioLM, b: int) -> None:
        """Called once before the first token. Raises ValueError for tokens that this policy does not have."""

    @abstractmethod
    def open(self, rows: Int[Tensor, " k"]) -> Tokens:
        """What is inserted where a pause begins in the completions `rows`, the same for each."""

    def hidden(self, rows: Int[Tensor, " r"]) -> Bool[Tensor, " r"] | None:
        """Which rows draw hidden tokens now; None: none."""
        return None

    def bent(self, rows: Int[Tensor, " r"]) -> Bool[Tensor, " r"] | None:
        """Which rows draw a token of the text now that the pause decides, and not the policy; None: none."""
        return None

    def adjust(self, logits: Float[Tensor, "r v"], rows: Int[Tensor, " r"]) -> Float[Tensor, "r v"]:
        """The logits to draw from."""
        return logits

    def drawn(self, rows: Int[Tensor, " k"]) -> dict[int, Sequence[Tokens]]:
        """Called while rows are hidden or bent: `rows` have drawn such a token. What ends a pause, by completion."""
        return {}


class Filler(Latent):
    """Copies of one token, read in one pass; what the policy would say behind them is ignored. (arXiv:2310.02226)

    Args:
        token: one entry of the tokenizer: a special one where it has one for this, else another, such as " ...".
        length: how many.
    """

    def __init__(self, token: str = "<PAUSE>", length: int = 16) -> None:
        self.token, self.length = token, at_least_one("length", length)

    def begin(self, policy: AudioLM, b: int) -> None:
        ids = policy.tokenizer(self.token, add_special_tokens=False).input_ids
        if len(ids) != 1 or ids[0] == policy.tokenizer.unk_token_id:
            pieces = policy.tokenizer.convert_ids_to_tokens(ids)
            raise ValueError(
                f"a pause of {self.token!r}: the tokenizer of {policy.path!r} has no such entry, it writes it as "
                f"{pieces}; name one that it has in filler's `token`, or add this to tokenizer and embeddings"
            )
        if ids[0] in (*policy.end_ids, policy.audio_token_id):
            raise ValueError(
                f"a pause of {self.token!r}: in {policy.path!r} that token ends an answer or stands for audio; name "
                "another one in filler's `token`"
            )
        self.inserted = Tokens(ids * self.length, Role.LATENT)

    def open(self, rows: Int[Tensor, " k"]) -> Tokens:
        return self.inserted


class HiddenSpan(Latent):
    """Tokens that the policy draws between two marks; it reads them, and they are neither text nor trained.

    They take part in `sampling.max_new_tokens`, since each takes a step. End tokens are not drawn in them.

    Args:
        marks: what is inserted before and behind them.
        length: how many there are between the marks.
    """

    def __init__(self, marks: tuple[str, str] = ("<IMPLICIT_THINK>", "</IMPLICIT_THINK>"), length: int = 16) -> None:
        if not all(marks):
            raise ValueError(f"marks={marks!r} of a hidden span must not be empty")
        self.marks, self.length = marks, at_least_one("length", length)

    def begin(self, policy: AudioLM, b: int) -> None:
        ids = [policy.tokenizer(mark, add_special_tokens=False).input_ids for mark in self.marks]
        self.before, self.behind = (Tokens(mark, Role.LATENT) for mark in ids)
        self.ends = torch.tensor(policy.end_ids, device=policy.device)
        self.left = torch.zeros(b, dtype=torch.long, device=policy.device)
        self.longest_left = 0

    def open(self, rows: Int[Tensor, " k"]) -> Tokens:
        if len(rows):
            self.left[rows] = self.longest_left = self.length
        return self.before

    def hidden(self, rows: Int[Tensor, " r"]) -> Bool[Tensor, " r"] | None:
        return self.left[rows] > 0 if self.longest_left else None

    def adjust(self, logits: Float[Tensor, "r v"], rows: Int[Tensor, " r"]) -> Float[Tensor, "r v"]:
        hidden = self.hidden(rows)
        if hidden is None:
            return logits
        never = torch.zeros_like(logits[0], dtype=torch.bool).index_fill(0, self.ends, True)
        return logits.masked_fill(hidden[:, None] & never, -torch.inf)

    def drawn(self, rows: Int[Tensor, " k"]) -> dict[int, Sequence[Tokens]]:
        self.left[rows] -= 1
        self.longest_left -= 1
        return {row: [self.behind] for row in rows[self.left[rows] == 0].tolist()}


def at_least_one(name: str, value: int) -> int:
    """The value. Raises ValueError for less than 1."""
    if value < 1:
        raise ValueError(f"{name}={value} must be at least 1")
    return value
