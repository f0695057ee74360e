"""Prompts through the decoder, each once and with its audio: the cache that completions start from."""

from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache

from cogrl.models.audio_lm import AudioLM
from cogrl.types import Prompts


def prefilled(policy: AudioLM, prompts: Prompts) -> tuple[DynamicCache, Float[Tensor, "p d"]]:
    """The cache of the prompts, and of each the hidden state that predicts the first token behind it.

    Raises FloatingPointError when the hidden states are not finite.
    """
    cache, mask = DynamicCache(), prompts.attention_mask
    states = policy.decoder(
        inputs_embeds=policy.prompt_embeds(prompts),
        attention_mask=mask,
        position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
    )
    hidden = states.last_hidden_state[:, -1]
    if not hidden.isfinite().all():
        raise FloatingPointError(
            "the policy's hidden states are NaN or infinite, so nothing can be sampled from them; see whether its "
            "weights are finite and whether the dtype (float16?) is wide enough"
        )
    return cache, hidden
