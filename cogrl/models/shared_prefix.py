"""Shared-prefix attention inside Hugging Face decoders: one packed forward for groups of completions of one prompt.

transformers looks its attention up by name at each call and hands the forward's keyword arguments down to it, through
gradient checkpointing too. So the two usual names are registered again as functions that follow a `prefix_plan`, or
read a `group_cache`, when they are given one and otherwise are what they were.
"""

import functools
from collections.abc import Callable

import torch
from cogrl_kernels.prefix import PrefixPlan, prefix_attention
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from cogrl.models.group_cache import GroupCache

SHARING = ("sdpa", "flash_attention_2")
"""The attention implementations that follow a plan."""
BEYOND_SOFTMAX = ("softcap", "s_aux", "position_bias")
"""Arguments of attention that is more than softmax of scores."""


def follows_plan(plain: Callable) -> Callable:
    """`plain` attention, and shared-prefix attention for a call with a `prefix_plan` or a `group_cache`."""

    @functools.wraps(plain)
    def attention(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        *args,
        prefix_plan: PrefixPlan | None = None,
        group_cache: GroupCache | None = None,
        **kwargs,
    ) -> tuple[Tensor, Tensor | None]:
        if group_cache is not None:
            refuse_what_is_not_implemented(group_cache.longest, kwargs)
            return group_cache.attend(module.layer_idx, query, key, value, kwargs.get("scaling")), None
        if prefix_plan is None:
            return plain(module, query, key, value, attention_mask, *args, **kwargs)
        refuse_what_is_not_implemented(prefix_plan.longest, kwargs)
        scaling, dropout = kwargs.get("scaling"), kwargs.get("dropout", 0.0)
        return prefix_attention(query, key, value, prefix_plan, scaling, dropout).transpose(1, 2), None

    return attention


def refuse_what_is_not_implemented(longest: int, kwargs: dict) -> None:
    """NotImplementedError for an attention that is more than softmax over a whole past of up to `longest` tokens."""
    window = kwargs.get("sliding_window")
    if window is not None and window < longest:
        raise NotImplementedError(
            f"shared prompts with a sliding window of {window} for {longest} tokens; set share_prompt: false"
        )
    for name in BEYOND_SOFTMAX:
        if kwargs.get(name) is not None:
            raise NotImplementedError(f"shared prompts do not know attention with {name}; set share_prompt: false")


for _name in SHARING:
    AttentionInterface.register(_name, follows_plan(ALL_ATTENTION_FUNCTIONS[_name]))


def decode_packed(decoder: nn.Module, embeds: Float[Tensor, "t d"], plan: PrefixPlan) -> Float[Tensor, "t d"]:
    """Hidden states of the packed token embeddings `embeds`, those of `plan.source`, under a Hugging Face decoder.

    Raises ValueError when the decoder was loaded with another attention than `sdpa` or `flash_attention_2`.
    """
    implementation = decoder.config._attn_implementation
    if implementation not in SHARING:
        raise ValueError(
            f"the decoder's attention is {implementation!r}, which does not support shared prompts; load it with one "
            f"of {', '.join(SHARING)} or set share_prompt: false"
        )
    return _decoded(decoder, embeds, plan.position_ids.unsqueeze(-2), prefix_plan=plan)


def decode_cached(
    decoder: nn.Module, embeds: Float[Tensor, "t d"], positions: Int[Tensor, " t"], cache: GroupCache
) -> Float[Tensor, "t d"]:
    """Hidden states of the tokens whose pass `cache` has begun; it keeps their keys and values."""
    return _decoded(decoder, embeds, positions[None], group_cache=cache)


def can_share(decoder: nn.Module, longest: int) -> bool:
    """Whether the decoder's attention over `longest` tokens can be that of rows that share a prompt."""
    config = decoder.config
    window = getattr(config, "sliding_window", None)
    whole = window is None or window >= longest
    return whole and config._attn_implementation in SHARING and not getattr(config, "attn_logit_softcapping", None)


def _decoded(
    decoder: nn.Module, embeds: Float[Tensor, "t d"], position_ids: Int[Tensor, "*axes 1 t"], **shared: object
) -> Float[Tensor, "t d"]:
    output = decoder(
        inputs_embeds=embeds[None],
        # handed on as it is for its four axes; it fits nothing, so attention that overlooked the plan fails
        attention_mask=torch.empty(1, 1, 0, 0, dtype=torch.bool, device=embeds.device),
        position_ids=position_ids,
        use_cache=False,
        **shared,
    )
    return output.last_hidden_state[0]
