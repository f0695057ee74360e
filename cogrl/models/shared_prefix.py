"""Shared-prefix attention inside Hugging Face decoders: one packed forward for groups of completions of one prompt.

transformers looks its attention up by name at each call and hands the forward's keyword arguments down to it, through
gradient checkpointing too. So the two usual names are registered again as functions that follow a `prefix_plan` when
they are given one and otherwise are what they were.
"""

import functools
from collections.abc import Callable

import torch
from cogrl_kernels.prefix import PrefixPlan, prefix_attention
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

SHARING = ("sdpa", "flash_attention_2")
"""The attention implementations that follow a plan."""


def follows_plan(plain: Callable) -> Callable:
    """`plain` attention, and shared-prefix attention for a call with a `prefix_plan`."""

    @functools.wraps(plain)
    def attention(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        *args,
        prefix_plan: PrefixPlan | None = None,
        **kwargs,
    ) -> tuple[Tensor, Tensor | None]:
        if prefix_plan is None:
            return plain(module, query, key, value, attention_mask, *args, **kwargs)
        refuse_what_is_not_implemented(prefix_plan, kwargs)
        scaling, dropout = kwargs.get("scaling"), kwargs.get("dropout", 0.0)
        return prefix_attention(query, key, value, prefix_plan, scaling, dropout).transpose(1, 2), None

    return attention


def refuse_what_is_not_implemented(plan: PrefixPlan, kwargs: dict) -> None:
    """NotImplementedError for an attention that is more than softmax over the whole past."""
    window = kwargs.get("sliding_window")
    if window is not None and window < plan.longest:
        raise NotImplementedError(
            f"shared prompts with a sliding window of {window} for {plan.longest} tokens; set share_prompt: false"
        )
    for name in ("softcap", "s_aux", "position_bias"):
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
    output = decoder(
        inputs_embeds=embeds[None],
        # handed on as it is for its four axes; it fits nothing, so attention that overlooked the plan fails
        attention_mask=torch.empty(1, 1, 0, 0, dtype=torch.bool, device=embeds.device),
        position_ids=plan.position_ids.unsqueeze(-2),
        use_cache=False,
        prefix_plan=plan,
    )
    return output.last_hidden_state[0]
