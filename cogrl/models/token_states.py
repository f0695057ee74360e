"""Prompts and completions through the decoder: the hidden states that predict each completion token."""

import torch
from cogrl_kernels.prefix import prefix_plan
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad

from cogrl.lm_head import TokenStates
from cogrl.models.shared_prefix import decode_packed
from cogrl.types import Completions


def packed_states(
    embed: nn.Module,
    decoder: nn.Module,
    prefix: Float[Tensor, "p s d"],
    prompt_mask: Int[Tensor, "p s"],
    completions: Completions,
    group_size: int,
) -> TokenStates:
    """Every prompt once and no padding: each group is one prompt with its completions branching off. (arXiv:2506.05433)

    `embed` gives the embeddings of completion tokens, `prefix` those of the prompts, audio included.
    """
    mask, steps = completions.mask, torch.arange(1, completions.mask.shape[1] + 1, device=completions.mask.device)
    lengths = pad(mask * steps, (1, 0)).amax(1)
    plan = prefix_plan(prompt_mask.sum(1), lengths, group_size, device=mask.device)
    suffix = embed(completions.ids[steps < lengths[:, None]])
    hidden = decode_packed(decoder, torch.cat([prefix[prompt_mask.bool()], suffix])[plan.source], plan)
    return TokenStates(hidden, plan.rows[mask[steps <= lengths[:, None]]])


def repeated_states(
    embed: nn.Module,
    decoder: nn.Module,
    prefix: Float[Tensor, "p s d"],
    prompt_mask: Int[Tensor, "p s"],
    completions: Completions,
    group_size: int,
) -> TokenStates:
    """The same states the plain way: prompt and completion of each row side by side, padded."""
    prefix, mask = prefix.repeat_interleave(group_size, 0), prompt_mask.repeat_interleave(group_size, 0)
    mask = torch.cat([mask, torch.ones_like(completions.ids)], 1)  # right padding is never looked at (causal)
    hidden = decoder(
        inputs_embeds=torch.cat([prefix, embed(completions.ids)], 1),
        attention_mask=mask,
        position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        use_cache=False,
    ).last_hidden_state
    rows, steps = completions.mask.nonzero().unbind(1)
    return TokenStates(hidden.flatten(0, 1), rows * mask.shape[1] + prefix.shape[1] - 1 + steps)
