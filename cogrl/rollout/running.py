"""The completions that are still being sampled, each with its prompt repeated, and what predicts their next token."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache

from cogrl.models.audio_lm import AudioLM
from cogrl.rollout.prefill import prefilled
from cogrl.types import Prompts


class RunningRows:
    """`r` rows with a common cache, in which a row leaves the places empty that others need and it does not.

    For any decoder, and to compare `SharedRows` with.

    Args:
        policy: in evaluation mode.
        prompts: each runs once, with its audio; then its cache is shared out to `group_size` rows.

    Raises FloatingPointError when the prompts' hidden states are not finite.
    """

    def __init__(self, policy: AudioLM, prompts: Prompts, group_size: int) -> None:
        self.decoder, mask = policy.decoder, prompts.attention_mask
        self.cache, hidden = prefilled(policy, prompts)
        self.cache.batch_repeat_interleave(group_size)
        self.hidden = hidden.repeat_interleave(group_size, 0)
        self.mask = mask.repeat_interleave(group_size, 0)

    @property
    def lengths(self) -> Int[Tensor, " r"]:
        """How many tokens each row has, prompt included."""
        return self.mask.sum(1)

    def keep(self, index: Int[Tensor, " k"]) -> None:
        """Only the rows at `index` go on."""
        self.cache.batch_select_indices(index)
        self.mask = self.mask[index]

    def feed_token(self, embeds: Float[Tensor, "r 1 d"]) -> None:
        """One more token for every row."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), 1)], 1)
        self.hidden = self._run(embeds, self.lengths[:, None] - 1, self.mask, self.cache)[:, -1]

    def feed(self, embeds: Float[Tensor, "r w d"], real: Bool[Tensor, "r w"]) -> None:
        """Some more tokens for each row, where `real`; every row has one at least, and padding comes behind them.

        Where most rows have one only, they run by themselves: nobody computes the padding of the others.
        """
        wide = (real.sum(1) > 1).nonzero().squeeze(1)
        parts = [torch.arange(len(real), device=real.device)]
        if 0 < len(wide) <= len(real) // 2:
            parts = [(real.sum(1) == 1).nonzero().squeeze(1), wide]
        mask = torch.cat([self.mask, real.to(self.mask.dtype)], 1)
        positions = (mask.cumsum(1) - 1)[:, -real.shape[1] :]
        before, hidden = self.mask.shape[1], []
        caches = [self.cache] if len(parts) == 1 else [rows_of(self.cache, part) for part in parts]
        for part, cache in zip(parts, caches, strict=True):
            count = real[part].sum(1)
            width = real.shape[1] if len(parts) == 1 else int(count.max())
            seen = mask[part, : before + width]
            states = self._run(embeds[part, :width], positions[part, :width], seen, cache)
            hidden.append(states[torch.arange(len(part), device=part.device), count - 1])
        self.mask, self.hidden = mask, torch.cat(hidden)[torch.cat(parts).argsort()]
        if len(parts) > 1:
            merge_rows(self.cache, caches, parts)
        self._close_gaps()

    def _run(
        self,
        embeds: Float[Tensor, "k w d"],
        positions: Int[Tensor, "k w"],
        mask: Int[Tensor, "k n"],
        cache: DynamicCache,
    ) -> Float[Tensor, "k w d"]:
        return self.decoder(
            inputs_embeds=embeds,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state

    def _close_gaps(self) -> None:
        """Move each row's keys and values together once more than a fifth of the cache is empty for every row."""
        longest = int(self.lengths.max())
        if self.mask.shape[1] <= 1.25 * longest:
            return
        order = self.mask.argsort(dim=1, stable=True)[:, -longest:]  # empty places first, the others in their order
        self.mask = self.mask.gather(1, order)
        for layer in self.cache.layers:
            places = order[:, None, :, None].expand(-1, layer.keys.shape[1], -1, layer.keys.shape[3])
            layer.keys, layer.values = layer.keys.gather(2, places), layer.values.gather(2, places)


def rows_of(cache: DynamicCache, index: Int[Tensor, " k"]) -> DynamicCache:
    """A cache of its own for some rows."""
    part = DynamicCache()
    for number, layer in enumerate(cache.layers):
        part.update(layer.keys[index], layer.values[index], number)
    return part


def merge_rows(cache: DynamicCache, parts: Sequence[DynamicCache], rows: Sequence[Int[Tensor, " _"]]) -> None:
    """The caches of all rows in one, as long as the longest; where a row has no place of its own there are zeros."""
    longest, b = max(part.layers[0].keys.shape[2] for part in parts), sum(map(len, rows))
    for number, layer in enumerate(cache.layers):
        for name in ("keys", "values"):
            values = [getattr(part.layers[number], name) for part in parts]
            whole = values[0].new_zeros(b, values[0].shape[1], longest, values[0].shape[3])
            for index, own in zip(rows, values, strict=True):
                whole[index, :, : own.shape[2]] = own
            setattr(layer, name, whole)
