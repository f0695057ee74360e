"""Qwen3-Omni: log-mels -> encoder of 1 s blocks (13 tokens each) -> Qwen3 with experts. (arXiv:2509.17765)"""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence
from transformers import Qwen3OmniMoeThinkerForConditionalGeneration

from cogrl.models.thinker import Thinker


class Qwen3Omni(Thinker):
    """The thinker of Qwen3-Omni; see `Thinker`. Adapters go to its attention: the experts are no linear layers."""

    model_types = ("qwen3_omni_moe_thinker", "qwen3_omni_moe")
    model_class = Qwen3OmniMoeThinkerForConditionalGeneration

    def audio_token_counts(self, samples: Int[Tensor, " c"]) -> Int[Tensor, " c"]:
        return self._tokens(-(-samples // self.processor.feature_extractor.hop_length))

    def audio_embeds(self, audio: Mapping[str, Tensor]) -> tuple[Float[Tensor, "c f d"], Int[Tensor, " c"]]:
        """A block of silence is read after the clips and dropped.

        The encoder pads blocks to the longest of the batch, and its convolutions see the padding: a clip shorter than
        a block would depend on what else is in the batch.
        """
        block = 2 * self.audio_tower.n_window
        features, mask = audio["input_features"], audio["feature_attention_mask"]
        lengths = mask.sum(-1)
        packed = features.mT[mask.bool()].mT
        lengths_read = torch.cat([lengths, lengths.new_full((1,), block)])
        states = self.audio_tower(pad(packed, (0, block)), feature_lens=lengths_read).last_hidden_state
        counts = self._tokens(lengths)
        frames = states[: len(states) - int(self._tokens(lengths_read[-1:]))]
        return pad_sequence(frames.split(counts.tolist()), batch_first=True), counts

    def _tokens(self, mels: Int[Tensor, " c"]) -> Int[Tensor, " c"]:
        """What three convolutions of stride 2 leave of each block."""
        block = 2 * self.audio_tower.n_window
        of_a_block = -(-block // 8)
        return mels // block * of_a_block + -(-(mels % block) // 8)
