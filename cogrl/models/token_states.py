"""Prompts and completions through the decoder: the hidden states that predict each completion token."""

import torch
from cogrl_kernels.prefix import prefix_plan
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad

from cogrl.lm_head import TokenStates
from cogrl.models.shared_prefix import decode_packed
from cogrl.types import Completions, Prompts


def packed_states(
    embed: nn.Module,
    decoder: nn.Module,
    prefix: Float[Tensor, "p s d"],
    prompts: Prompts,
    completions: Completions,
    group_size: int,
) -> TokenStates:
    """Every prompt once and no padding: each group is one prompt with its completions branching off. (arXiv:2506.05433)

    `embed` gives the embeddings of completion tokens, `prefix` those of the prompts, audio included.
    """
    mask, device = completions.mask_on_host, prefix.device
    steps = torch.arange(1, mask.shape[1] + 1)
    lengths = pad(mask * steps, (1, 0)).amax(1)
    plan = prefix_plan(prompts.mask_on_host.sum(1), lengths, group_size, device=device)
    suffix = embed(completions.ids.flatten()[places(steps < lengths[:, None], device)])
    packed = torch.cat([prefix.flatten(0, 1)[places(prompts.mask_on_host, device)], suffix])[plan.source]
    predicting = places(mask[steps <= lengths[:, None]], device)
    return TokenStates(decode_packed(decoder, packed, plan), plan.rows[predicting])


def repeated_states(
    embed: nn.Module,
    decoder: nn.Module,
    prefix: Float[Tensor, "p s d"],
    prompts: Prompts,
    completions: Completions,
    group_size: int,
) -> TokenStates:
    """The same states the plain way: prompt and completion of each row side by side, padded."""
    prefix, mask = (x.repeat_interleave(group_size, 0) for x in (prefix, prompts.attention_mask))
    mask = torch.cat([mask, torch.ones_like(completions.ids)], 1)  # right padding is never looked at (causal)
    hidden = decoder(
        inputs_embeds=torch.cat([prefix, embed(completions.ids)], 1),
        attention_mask=mask,
        position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        use_cache=False,
    ).last_hidden_state
    rows, steps = completions.mask_on_host.nonzero().unbind(1)
    predicting = rows * mask.shape[1] + prefix.shape[1] - 1 + steps
    return TokenStates(hidden.flatten(0, 1), predicting.to(hidden.device, non_blocking=True))


def places(mask: Bool[Tensor, "..."], device: torch.device) -> Int[Tensor, " n"]:
    """Where a mask on the CPU is True, counted along its flattened axes, on `device` and without waiting for it."""
    return mask.flatten().nonzero().squeeze(1).to(device, non_blocking=True)
