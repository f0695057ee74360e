"""Prompts and completions through the decoder: the hidden states that predict each completion token."""

import torch
from cogrl_kernels.prefix import prefix_plan
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad

from cogrl.lm_head import TokenStates
from cogrl.models.shared_prefix import decode_packed
from cogrl.types import Completions, Prompts, Role


def packed_states(
    embed: nn.Module,
    decoder: nn.Module,
    prefix: Float[Tensor, "p s d"],
    prompts: Prompts,
    completions: Completions,
    group_size: int,
    frames: Float[Tensor, "n d"] | None = None,
) -> TokenStates:
    """Every prompt once and no padding: each group is one prompt with its completions branching off. (arXiv:2506.05433)

    `embed` gives the embeddings of completion tokens, `prefix` those of the prompts, audio included. `frames` are read
    in place of the completions' placeholders, row by row.
    """
    mask, device = completions.mask_on_host, prefix.device
    steps = torch.arange(1, mask.shape[1] + 1)
    lengths = pad(mask * steps, (1, 0)).amax(1)
    plan = prefix_plan(prompts.mask_on_host.sum(1), lengths, group_size, device=device)
    read = steps < lengths[:, None]
    suffix = embed(completions.ids.flatten()[places(read, device)])
    if frames is not None:  # those behind the last token that trains are not read
        is_audio = completions.roles_on_host == Role.AUDIO
        audio_embeds = frames[places(read[is_audio], device)].to(suffix.dtype)
        suffix = suffix.index_copy(0, places(is_audio[read], device), audio_embeds)
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
    frames: Float[Tensor, "n d"] | None = None,
) -> TokenStates:
    """The same states the plain way: prompt and completion of each row side by side, padded."""
    prefix, mask = (x.repeat_interleave(group_size, 0) for x in (prefix, prompts.attention_mask))
    mask = torch.cat([mask, torch.ones_like(completions.ids)], 1)  # right padding is never attended to (causal)
    suffix = embed(completions.ids)
    if frames is not None:
        is_audio = (completions.roles == Role.AUDIO)[..., None]
        suffix = suffix.masked_scatter(is_audio, frames.to(suffix.dtype))
    hidden = decoder(
        inputs_embeds=torch.cat([prefix, suffix], 1),
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
