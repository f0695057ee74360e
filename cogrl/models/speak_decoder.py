"""The network of the Speak branch: a small decoder of units that attends to the hidden states of a written reply."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import gelu, pad, scaled_dot_product_attention

KeysValues = tuple[Tensor, Tensor]
Draw = Callable[[Float[Tensor, "b v"]], tuple[Int[Tensor, " b"], Float[Tensor, " b"]]]
"""Logits to a choice for each row and its log-probability."""
_BARRED = -1e4


@dataclass(frozen=True)
class SpeakSizes:
    """Sizes of a Speak branch.

    Args:
        group: frames of units that one step of the decoder makes.
        width, layers, heads: of the decoder.

    Raises ValueError for sizes below 1 and a width that the heads do not divide.
    """

    group: int = 2
    width: int = 256
    layers: int = 4
    heads: int = 4

    def __post_init__(self) -> None:
        if min(self.group, self.width, self.layers, self.heads) < 1 or self.width % (2 * self.heads):
            raise ValueError(f"{self}: sizes are at least 1, and width is a multiple of 2 * heads")


class Layer(nn.Module):
    """Causal self-attention over steps, attention to the reply, and a feed-forward part; each after a norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.own, self.own_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.ask, self.reply, self.reply_out = (
            nn.Linear(width, width),
            nn.Linear(width, 2 * width),
            nn.Linear(width, width),
        )
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def split(self, x: Float[Tensor, "b g w"]) -> Float[Tensor, "b heads g e"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def memory(self, context: Float[Tensor, "b m w"]) -> KeysValues:
        """Keys and values of the reply; the same for every step."""
        keys, values = self.reply(context).chunk(2, -1)
        return self.split(keys), self.split(values)

    def forward(
        self,
        x: Float[Tensor, "b g w"],
        memory: KeysValues,
        mask: Bool[Tensor, "b m"],
        past: KeysValues | None = None,
    ) -> tuple[Float[Tensor, "b g w"], KeysValues]:
        """All steps at once, or, with the `past` of the ones before, a further one; also the new past."""
        query, key, value = (self.split(part) for part in self.own(self.norms[0](x)).chunk(3, -1))
        if past is not None:
            key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
        found = scaled_dot_product_attention(query, key, value, is_causal=past is None)
        x = x + self.own_out(found.transpose(1, 2).flatten(2))
        query = self.split(self.ask(self.norms[1](x)))
        found = scaled_dot_product_attention(query, *memory, attn_mask=mask[:, None, None])
        x = x + self.reply_out(found.transpose(1, 2).flatten(2))
        return x + self.down(gelu(self.up(self.norms[2](x)))), (key, value)


class SpeakDecoder(nn.Module):
    """Several units a step: `group` frames of `codebooks` units, each drawn knowing those before it in the step.

    Head `frame * codebooks + codebook` chooses one unit. The first of a frame may choose `end`, the number behind the
    units; with it the stream has ended: what follows in the step is `end` too and no choice.
    """

    def __init__(self, context: int, codebooks: int, size: int, sizes: SpeakSizes) -> None:
        super().__init__()
        self.codebooks, self.end, self.sizes = codebooks, size, sizes
        self.heads, width = sizes.group * codebooks, sizes.width
        self.take_in, self.taken = nn.Linear(context, width), nn.LayerNorm(width)
        self.start = nn.Parameter(0.02 * torch.randn(width))
        self.units = nn.Parameter(0.02 * torch.randn(self.heads, size + 1, width))
        self.layers = nn.ModuleList(Layer(width, sizes.heads) for _ in range(sizes.layers))
        self.last = nn.LayerNorm(width)
        self.chosen = nn.Parameter(0.02 * torch.randn(self.heads, size + 1, width))
        self.mix = nn.Linear(width, width)
        self.choose = nn.Parameter(0.02 * torch.randn(self.heads, size + 1, width))
        self.bias = nn.Parameter(torch.zeros(self.heads, size + 1))

    @property
    def barred(self) -> Bool[Tensor, "h v"]:
        """True where a head may not choose: `end` is for the first unit of a frame."""
        found = torch.zeros_like(self.bias, dtype=torch.bool)
        found[[h for h in range(self.heads) if h % self.codebooks], self.end] = True
        return found

    def steps(self, units: Int[Tensor, "b f k"]) -> Int[Tensor, "b g h"]:
        """Streams padded with `end` as steps, with room for the end of the longest."""
        frames, group = units.shape[1] + 1, self.sizes.group
        missing = -(-frames // group) * group - units.shape[1]
        return pad(units, (0, 0, 0, missing), value=self.end).flatten(1).unflatten(1, (-1, self.heads))

    def free(self, drawn: Int[Tensor, "b g h"]) -> Bool[Tensor, "b g h"]:
        """Which units are choices: all of the frames before the end, and the end itself."""
        frames = drawn.flatten(1).unflatten(1, (-1, self.codebooks))
        ended = (frames[..., 0] == self.end).cumsum(1)
        found = (ended == 0)[..., None].expand_as(frames).clone()
        found[..., 0] |= (ended == 1) & (frames[..., 0] == self.end)
        return found.flatten(1).unflatten(1, (-1, self.heads))

    def forward(
        self, context: Float[Tensor, "b m c"], mask: Bool[Tensor, "b m"], drawn: Int[Tensor, "b g h"], temperature=1.0
    ) -> tuple[Float[Tensor, "b g h"], Bool[Tensor, "b g h"]]:
        """Log-probability of each unit given all before it, 0 where it is no choice; and whether it is the arg-max."""
        logits = self.logits(context, mask, drawn)
        found = torch.log_softmax(logits.float() / temperature, -1).gather(-1, drawn[..., None]).squeeze(-1)
        return found.masked_fill(~self.free(drawn), 0.0), logits.argmax(-1) == drawn

    def logits(
        self, context: Float[Tensor, "b m c"], mask: Bool[Tensor, "b m"], drawn: Int[Tensor, "b g h"]
    ) -> Float[Tensor, "b g h v"]:
        """Of every head of every step, teacher-forced."""
        memory = self.read(context)
        x = torch.cat([self.start.expand(len(drawn), 1, -1), self.embedded(self.units, drawn[:, :-1]).sum(2)], 1)
        x = x + positions(x.shape[1], x)
        for layer, kept in zip(self.layers, memory, strict=True):
            x, _ = layer(x, kept, mask)
        before = self.embedded(self.chosen, drawn).cumsum(2)
        before = pad(before[:, :, :-1], (0, 0, 1, 0))  # of each head, the units of the step that came before
        state = gelu(self.mix(self.last(x)[:, :, None] + before))
        logits = torch.einsum("bghw,hvw->bghv", state, self.choose) + self.bias
        return logits.masked_fill(self.barred, _BARRED)

    def stream(
        self, context: Float[Tensor, "b m c"], mask: Bool[Tensor, "b m"], draw: Draw, steps: int
    ) -> Iterator[tuple[Int[Tensor, "b h"], Float[Tensor, "b h"]]]:
        """At most `steps` steps: the units of each row and their log-probabilities, 0 where they were no choice.

        Ends when every row has. What comes behind the end of a row is `end`.
        """
        memory = self.read(context)
        past: list[KeysValues | None] = [None] * len(self.layers)
        x, ended = self.start.expand(len(context), 1, -1), torch.zeros_like(mask[:, 0])
        place = positions(steps, x)
        for step in range(steps):
            x = x + place[step]
            for i, layer in enumerate(self.layers):
                x, past[i] = layer(x, memory[i], mask, past[i])
            drawn, logprobs, ended = self.step(self.last(x)[:, 0], draw, ended)
            yield drawn, logprobs
            if ended.all():
                return
            x = self.embedded(self.units, drawn[:, None]).sum(2)

    def step(
        self, state: Float[Tensor, "b w"], draw: Draw, ended: Bool[Tensor, " b"]
    ) -> tuple[Int[Tensor, "b h"], Float[Tensor, "b h"], Bool[Tensor, " b"]]:
        """The units of one step, head by head."""
        before, found, logprobs, barred = torch.zeros_like(state), [], [], self.barred
        for head in range(self.heads):
            mixed = gelu(self.mix(state + before))
            logits = (mixed @ self.choose[head].T + self.bias[head]).masked_fill(barred[head], _BARRED)
            unit, logprob = draw(logits)
            unit, logprob = unit.masked_fill(ended, self.end), logprob.masked_fill(ended, 0.0)
            ended = ended | (unit == self.end)
            before = before + self.chosen[head, unit]
            found.append(unit)
            logprobs.append(logprob)
        return torch.stack(found, 1), torch.stack(logprobs, 1), ended

    def read(self, context: Float[Tensor, "b m c"]) -> list[KeysValues]:
        """What each layer attends to."""
        taken = self.taken(self.take_in(context.to(self.take_in.weight.dtype)))
        taken = taken + positions(taken.shape[1], taken)
        return [layer.memory(taken) for layer in self.layers]

    def embedded(self, table: Float[Tensor, "h v w"], drawn: Int[Tensor, "b g h"]) -> Float[Tensor, "b g h w"]:
        """The row of each head's own table."""
        return table[torch.arange(self.heads, device=drawn.device), drawn]


def positions(count: int, like: Float[Tensor, "... w"]) -> Float[Tensor, "count w"]:
    """Sinusoids, as in the first Transformer. (arXiv:1706.03762, section 3.5)"""
    half = like.shape[-1] // 2
    rates = torch.exp(torch.arange(half, device=like.device) * (-math.log(10_000) / half))
    angles = torch.arange(count, device=like.device)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], -1).to(like.dtype)
