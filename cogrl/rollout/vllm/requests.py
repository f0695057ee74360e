"""What a server is asked for the prompts of a call, before anything was drawn."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from cogrl.models.audio_lm import AudioLM
from cogrl.models.chat_prompts import as_conversation
from cogrl.rollout.controller import Controller
from cogrl.rollout.sampling import Sampling
from cogrl.rollout.vllm.wire import Asked
from cogrl.types import Clip, ModelInput, Prompts


def requests(
    policy: AudioLM,
    prompts: Prompts,
    inputs: Sequence[ModelInput],
    clips: Sequence[Clip],
    sampling: Sampling,
    group_size: int,
    generator: torch.Generator | None,
    controllers: Sequence[Controller] = (),
) -> list[Asked]:
    """One for each prompt, for its whole group; each has a seed of its own."""
    stops = [text for each in controllers for text in each.stops]
    barred = policy.head.bias.nonzero().flatten().tolist()
    ids_of_all = [row[mask].tolist() for row, mask in zip(prompts.input_ids.cpu(), prompts.mask_on_host, strict=True)]
    found = []
    for clip, ids, item, seed in zip(clips, ids_of_all, inputs, seeds_of(generator, len(clips)), strict=True):
        waveforms = as_conversation(item).waveforms
        lengths = torch.tensor([len(waveform) for waveform in waveforms], dtype=torch.long)
        left = min(sampling.max_new_tokens, policy.max_positions - len(ids)) if controllers else sampling.max_new_tokens
        found.append(
            Asked(
                clip.example.id,
                ids,
                policy.audio_token_id,
                waveforms,
                policy.audio_token_counts(lengths).tolist(),
                policy.sampling_rate,
                replace(sampling, max_new_tokens=max(1, left)),
                policy.end_ids,
                barred,
                policy.vocab_size,
                group_size,
                seed,
                stops,
            )
        )
    return found


def seeds_of(generator: torch.Generator | None, count: int) -> list[int]:
    """So many seeds of requests."""
    device = generator.device if generator is not None else None
    return torch.randint(2**31, (count,), generator=generator, device=device).tolist()
