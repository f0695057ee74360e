"""Sampling with the policy itself: the prompt (and its audio) runs once per group, then the cache is shared out."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import DynamicCache

from cogrl.formats import format_named
from cogrl.lm_head import head_operand, next_token_logits
from cogrl.model_input import audio_input
from cogrl.models.audio_lm import AudioLM
from cogrl.rollout.sampling import Sampling
from cogrl.types import Clip, Completions, ModelInput, Prompts, Rollouts


class HFEngine:
    """Draws `group_size` completions a prompt from an `AudioLM` with a key-value cache."""

    def sample(
        self,
        policy: AudioLM,
        clips: Sequence[Clip],
        formats: Sequence[str],
        sampling: Sampling,
        group_size: int = 1,
        policy_version: int = 0,
        given: Sequence[ModelInput] | None = None,
        generator: torch.Generator | None = None,
    ) -> Rollouts:
        """Rollouts of `p` clips, one format each; rows of a group are adjacent.

        `given` replaces what the model hears (a control: silence, another clip, or the transcript); the labels of
        `clips` stay.
        """
        prompts = policy.encode_prompts(
            [format_named(name).instruction(clip.example) for name, clip in zip(formats, clips, strict=True)],
            [audio_input(clip) for clip in clips] if given is None else given,
            [clip.example.id for clip in clips],
        )
        completions, logprobs, finished = self.complete(policy, prompts, sampling, group_size, generator)
        lengths = completions.mask.sum(1) - finished.long()  # without the end token; other special tokens stay visible
        texts = [policy.tokenizer.decode(ids[:n]) for ids, n in zip(completions.ids, lengths.tolist(), strict=True)]
        return Rollouts(clips, formats, prompts, completions, logprobs, texts, finished, group_size, policy_version)

    @torch.no_grad()
    def complete(
        self,
        policy: AudioLM,
        prompts: Prompts,
        sampling: Sampling,
        group_size: int,
        generator: torch.Generator | None = None,
    ) -> tuple[Completions, Float[Tensor, "b t"], Bool[Tensor, " b"]]:
        """Token ids, mask (True up to and including the end token), log-probabilities, and which rows ended.

        Any of `policy.end_ids` ends a row. Rows that have ended leave the batch whenever they are half of it: long
        answers do not wait for short ones.
        """
        decoder = policy.model.model.language_model
        head, bias = head_operand(policy.lm_head_weight), policy.lm_head_bias
        was_training = policy.training
        policy.eval()
        cache = DynamicCache()
        mask = prompts.attention_mask
        prefix = decoder(
            inputs_embeds=policy.prompt_embeds(prompts),
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
        )
        cache.batch_repeat_interleave(group_size)
        hidden = prefix.last_hidden_state[:, -1].repeat_interleave(group_size, 0)
        if not hidden.isfinite().all():
            raise FloatingPointError(
                "the policy's hidden states are NaN or infinite, so nothing can be sampled from them; see whether its "
                "weights are finite and whether the dtype (float16?) is wide enough"
            )
        mask = mask.repeat_interleave(group_size, 0)
        ids = mask.new_full((len(mask), sampling.max_new_tokens), policy.tokenizer.pad_token_id)
        logprobs = torch.zeros(ids.shape, device=ids.device)
        sampled, ends = torch.zeros_like(ids, dtype=torch.bool), torch.tensor(policy.end_ids, device=ids.device)
        rows = torch.arange(len(mask), device=mask.device)  # of the batch, where each running row belongs
        alive = torch.ones_like(rows, dtype=torch.bool)
        for position in range(sampling.max_new_tokens):
            token, logprob = sampling.draw(next_token_logits(hidden, head, bias), generator)
            here = rows[alive]
            ids[here, position], logprobs[here, position], sampled[here, position] = token[alive], logprob[alive], True
            alive = alive & ~torch.isin(token, ends)
            running = int(alive.sum())
            if not running:
                break
            if running <= len(rows) // 2:
                keep = alive.nonzero().squeeze(1)
                cache.batch_select_indices(keep)
                rows, token, mask, alive = rows[keep], token[keep], mask[keep], alive[keep]
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            step = decoder(
                inputs_embeds=policy.model.get_input_embeddings()(token[:, None]),
                attention_mask=mask,
                position_ids=mask.sum(1, keepdim=True) - 1,
                past_key_values=cache,
                use_cache=True,
            )
            hidden = step.last_hidden_state[:, -1]
        policy.train(was_training)
        finished = torch.ones_like(sampled[:, 0])
        finished[rows] = ~alive
        ids, logprobs, sampled = (x[:, : position + 1] for x in (ids, logprobs, sampled))
        return Completions(ids, sampled), logprobs, finished
