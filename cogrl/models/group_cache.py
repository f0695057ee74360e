"""Keys and values of completions while they are drawn: a prompt's once, and behind them those of all its completions.

A token is read by one attention call a prompt: the queries of its completions look at the same keys, which are read
from memory once, and a mask hides from each what belongs to the others. So a prompt is neither copied nor read again
for each completion, and a completion that has ended leaves without anything being moved.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

EVERY_ROW, NO_ROW = -1, -2
"""Owners of a place: a token of the prompt, which all its rows see, and one that nobody sees."""
SLACK = 1.25
"""Places are made for so many times as many tokens as are needed, and closed up when that share of them is empty."""


def room(places: int) -> int:
    """How many places are made where so many are needed."""
    return int(SLACK * places)


@dataclass(frozen=True)
class Pass:
    """The `t` tokens of one pass: `width` new places a prompt from `start` on, one for each token and the rest empty.

    `prompt` and `slot` say where each token goes; `slot` is None when there are as many of each prompt, in order.
    `visible` says which places each query sees.
    """

    start: int
    width: int
    prompts: int
    prompt: Int[Tensor, " t"]
    slot: Int[Tensor, " t"] | None
    visible: Bool[Tensor, "p w n"]
    masks: dict[tuple[torch.dtype, int], Tensor] = field(default_factory=dict)

    @property
    def end(self) -> int:
        """How many places are in use."""
        return self.start + self.width

    def mask(self, queries: Float[Tensor, "p k q d"]) -> Float[Tensor, "p 1 q n"]:
        """What is added to the scores of `q` queries, those of several heads one behind the other."""
        repeats = queries.shape[2] // self.width
        if (queries.dtype, repeats) not in self.masks:  # the same in every layer
            hidden = ~self.visible[:, None].repeat(1, 1, repeats, 1)
            blank = torch.zeros(hidden.shape, dtype=queries.dtype, device=hidden.device)
            self.masks[queries.dtype, repeats] = blank.masked_fill_(hidden, -torch.inf)
        return self.masks[queries.dtype, repeats]

    def by_prompt(self, x: Float[Tensor, "1 h t d"]) -> Float[Tensor, "p h w d"]:
        """What there is of each token, at the new places of its prompt."""
        h, d = x.shape[1], x.shape[3]
        if self.slot is None:
            return x.view(h, self.prompts, self.width, d).transpose(0, 1)
        placed = x.new_zeros(self.prompts, h, self.width, d)
        placed[self.prompt, :, self.slot] = x[0].transpose(0, 1)
        return placed

    def by_token(self, x: Float[Tensor, "p h w d"]) -> Float[Tensor, "1 t h d"]:
        """The way back."""
        x = x.transpose(1, 2)
        x = x.flatten(0, 1) if self.slot is None else x[self.prompt, self.slot]
        return x[None]


class GroupCache:
    """The cache of `p` prompts and of the rows that continue them. Rows are numbered from 0 and keep their number.

    Args:
        layers: keys and values of each layer, of the prompts.
        prompt_mask: which of them are tokens, and not padding.
        longest: no row will see more tokens than this, prompt included.
    """

    def __init__(
        self,
        layers: Sequence[tuple[Float[Tensor, "p h s d"], Float[Tensor, "p h s e"]]],
        prompt_mask: Int[Tensor, "p s"],
        longest: int,
    ) -> None:
        self.keys, self.values = (list(parts) for parts in zip(*layers, strict=True))
        self.owner = torch.where(prompt_mask.bool(), EVERY_ROW, NO_ROW)
        self.positions = torch.zeros_like(self.owner)
        self.longest = longest
        self.now: Pass | None = None

    @property
    def places(self) -> int:
        """How many of each prompt are in use."""
        return self.owner.shape[1]

    def begin(
        self,
        prompt: Int[Tensor, " t"],
        row: Int[Tensor, " t"],
        position: Int[Tensor, " t"],
        counts: Sequence[int],
    ) -> None:
        """A pass of tokens, prompt by prompt, `counts` of each; `attend` then is called once in each layer."""
        width, start, p = max(counts), self.places, len(self.owner)
        self._make_room(start + width)
        slot = None
        if min(counts) == width:
            owner, own_position = row.view(p, width), position.view(p, width)
        else:
            firsts = pad(torch.tensor(counts[:-1]).cumsum(0), (1, 0)).to(prompt.device, non_blocking=True)
            slot = torch.arange(len(prompt), device=prompt.device) - firsts[prompt]
            owner, own_position = row.new_full((p, width), NO_ROW), position.new_zeros(p, width)
            owner[prompt, slot], own_position[prompt, slot] = row, position
        self.owner, self.positions = torch.cat([self.owner, owner], 1), torch.cat([self.positions, own_position], 1)
        own = self.owner[:, None] == owner[..., None]
        own &= self.positions[:, None] <= own_position[..., None]
        self.now = Pass(start, width, p, prompt, slot, own | (self.owner == EVERY_ROW)[:, None])

    def attend(
        self,
        layer: int,
        query: Float[Tensor, "1 h t d"],
        key: Float[Tensor, "1 k t d"],
        value: Float[Tensor, "1 k t e"],
        scaling: float | None,
    ) -> Float[Tensor, "1 t h e"]:
        """Softmax attention of each token to its prompt, to its row so far and to itself, all of which are kept."""
        now, keys, values = self.now, self.keys[layer], self.values[layer]
        keys.narrow(2, now.start, now.width).copy_(now.by_prompt(key))
        values.narrow(2, now.start, now.width).copy_(now.by_prompt(value))
        query = now.by_prompt(query)
        # query heads that share a key head become more queries of it
        grouped = query.reshape(len(query), keys.shape[1], -1, query.shape[3])
        keys, values = (x.narrow(2, 0, now.end) for x in (keys, values))
        out = scaled_dot_product_attention(grouped, keys, values, attn_mask=now.mask(grouped), scale=scaling)
        return now.by_token(out.unflatten(2, (-1, now.width)).flatten(1, 2))

    def keep(self, rows: Int[Tensor, " r"], prompts: Int[Tensor, " p"]) -> bool:
        """What other rows have is seen by nobody, and given up once it is much; `prompts` are those of `rows`.

        Says whether the prompts were renumbered: only `prompts` are left then.
        """
        self.owner = self.owner.masked_fill((self.owner >= 0) & ~torch.isin(self.owner, rows), NO_ROW)
        seen = self.owner[prompts] != NO_ROW
        longest = int(seen.sum(1).max())
        if self.owner.numel() <= len(prompts) * room(longest):
            return False
        order = seen.to(torch.uint8).argsort(dim=1, stable=True)[:, -longest:]  # empty places first, others in order
        self.owner, self.positions = (x[prompts].gather(1, order) for x in (self.owner, self.positions))
        for tensors in (self.keys, self.values):
            for layer, x in enumerate(tensors):
                x = x[prompts]
                tensors[layer] = x.gather(2, order[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3]))
        return True

    def _make_room(self, places: int) -> None:
        if places <= self.keys[0].shape[2]:
            return
        more = room(places) - self.keys[0].shape[2]
        for tensors in (self.keys, self.values):
            for layer, x in enumerate(tensors):
                tensors[layer] = pad(x, (0, 0, 0, more))
