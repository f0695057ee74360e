"""The completions that are still being sampled, those of a prompt on one cache, and what predicts their next token."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cogrl.models.audio_lm import AudioLM
from cogrl.models.group_cache import GroupCache
from cogrl.models.shared_prefix import can_share, decode_cached
from cogrl.rollout.prefill import prefilled
from cogrl.types import Prompts


def rows_share(policy: AudioLM) -> bool:
    """Whether the rows of a group read one copy of their prompt: where the policy does and its decoder can."""
    return policy.share_prompt and can_share(policy.decoder, policy.max_positions)


class SharedRows:
    """`r` rows of groups that share a prompt; the same values as of `RunningRows`, where `rows_share`.

    Args:
        policy: in evaluation mode.
        prompts: each runs once, with its audio, and its keys and values are held once.

    Raises FloatingPointError when the prompts' hidden states are not finite.
    """

    def __init__(self, policy: AudioLM, prompts: Prompts, group_size: int) -> None:
        self.decoder, mask = policy.decoder, prompts.attention_mask
        layers, hidden = prefilled(policy, prompts)
        self.cache = GroupCache([(layer.keys, layer.values) for layer in layers.layers], mask, policy.max_positions)
        self.hidden = hidden.repeat_interleave(group_size, 0)
        self.lengths = mask.sum(1).repeat_interleave(group_size, 0)
        self.rows = torch.arange(len(self.hidden), device=mask.device)
        self.prompt, self.counts = self.rows // group_size, [group_size] * len(mask)

    def keep(self, index: Int[Tensor, " k"]) -> None:
        """Only the rows at `index` go on."""
        self.rows, self.prompt, self.lengths = self.rows[index], self.prompt[index], self.lengths[index]
        self._close_gaps()

    def feed_token(self, embeds: Float[Tensor, "r 1 d"]) -> None:
        """One more token for every row."""
        self.hidden = self._run(embeds[:, 0], self.prompt, self.rows, self.lengths, self.counts)
        self.lengths = self.lengths + 1

    def feed(self, embeds: Float[Tensor, "r w d"], real: Bool[Tensor, "r w"]) -> None:
        """Some more tokens for each row, where `real`; every row has one at least, and padding comes behind them.

        Nobody computes the padding.
        """
        row, step = real.nonzero().unbind(1)
        prompt, more = self.prompt[row], real.sum(1)
        counts = prompt.bincount(minlength=len(self.counts)).tolist()
        hidden = self._run(embeds[real], prompt, self.rows[row], self.lengths[row] + step, counts)
        self.hidden, self.lengths = hidden[more.cumsum(0) - 1], self.lengths + more
        self._close_gaps()

    def _run(
        self,
        embeds: Float[Tensor, "t d"],
        prompt: Int[Tensor, " t"],
        rows: Int[Tensor, " t"],
        positions: Int[Tensor, " t"],
        counts: list[int],
    ) -> Float[Tensor, "t d"]:
        self.cache.begin(prompt, rows, positions, counts)
        return decode_cached(self.decoder, embeds, positions, self.cache)

    def _close_gaps(self) -> None:
        prompts, places = self.prompt.unique(return_inverse=True)
        if self.cache.keep(self.rows, prompts):
            self.prompt = places
        self.counts = self.prompt.bincount(minlength=len(self.cache.owner)).tolist()
