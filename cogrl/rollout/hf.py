"""Sampling with the policy itself: the prompt (and its audio) runs once per group, and its completions share it."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cogrl.lm_head import head_operand, next_token_logits
from cogrl.model_input import audio_input
from cogrl.models.audio_lm import AudioLM
from cogrl.rollout.controller import Controller, begun
from cogrl.rollout.excerpts import EncodedExcerpts
from cogrl.rollout.insertions import Inserted, interruption
from cogrl.rollout.prompts import prompts_of
from cogrl.rollout.running import RunningRows
from cogrl.rollout.sampling import Sampling
from cogrl.rollout.shared_rows import SharedRows, rows_share
from cogrl.rollout.transcript import Transcript
from cogrl.types import Clip, ModelInput, Prompts, Role, Rollouts


class HFEngine:
    """Draws `group_size` completions a prompt from an `AudioLM` with a key-value cache. See `Engine`."""

    def sync(self, policy: AudioLM) -> None:
        """Does nothing: the policy itself samples."""

    def sample(
        self,
        policy: AudioLM,
        clips: Sequence[Clip],
        formats: Sequence[str],
        sampling: Sampling,
        group_size: int = 1,
        policy_version: int = 0,
        inputs: Sequence[ModelInput] | None = None,
        generator: torch.Generator | None = None,
        controllers: Sequence[Controller] = (),
    ) -> Rollouts:
        """Rollouts of `p` clips, one format each; rows of a group are adjacent.

        `inputs` replaces the clips as input of the model (a control: silence, another clip, or the transcript); the
        labels of `clips` stay.
        """
        inputs = [audio_input(clip) for clip in clips] if inputs is None else inputs
        prompts = prompts_of(policy, clips, formats, inputs)
        with begun(controllers, policy, clips, inputs, group_size):
            transcript = self.complete(policy, prompts, sampling, group_size, generator, controllers)
        return transcript.rollouts(policy, clips, formats, prompts, group_size, policy_version)

    @torch.no_grad()
    def complete(
        self,
        policy: AudioLM,
        prompts: Prompts,
        sampling: Sampling,
        group_size: int,
        generator: torch.Generator | None = None,
        controllers: Sequence[Controller] = (),
    ) -> Transcript:
        """Every token of each completion. Each draws at most `max_new_tokens`; what controllers insert does not count.

        Any of `policy.end_ids` ends a row, which then leaves the batch: nothing is computed on it any more. What is
        inserted is read in one pass, together with the token drawn before it and for all rows at once; a clip that
        several rows get is encoded once.
        """
        head, bias = head_operand(policy.head.weight), policy.head.bias
        running = running_rows(policy, prompts, group_size)
        rows = torch.arange(len(running.hidden), device=running.hidden.device)  # which completions are in the batch
        transcript = Transcript(len(rows), policy.tokenizer.pad_token_id, rows.device)
        encoded, ends = EncodedExcerpts(policy), torch.tensor(policy.end_ids, device=rows.device)
        for left in reversed(range(sampling.max_new_tokens)):
            logits, roles = adjusted(controllers, next_token_logits(running.hidden, head, bias), rows)
            token, logprob = sampling.draw(logits, generator)
            transcript.draw(rows, token[:, None], logprob[:, None], roles[:, None])
            ended = torch.isin(token, ends)
            transcript.ended[rows] = ended
            alive, inserted = ~ended, None
            if controllers and left:
                free = policy.max_positions - 2 - running.lengths  # behind this token, and one is drawn behind that
                alive &= free >= 0  # after an insertion, there may be no position left to draw at
                drawn = (token[alive], logprob[alive], rows[alive], free[alive])
                change = interruption(policy, controllers, *drawn, encoded)
                if change is not None:
                    transcript.aborted.update(change.aborted)
                    stopped = torch.tensor(change.aborted + change.full, dtype=torch.long, device=rows.device)
                    alive, inserted = alive & ~torch.isin(rows, stopped), change.inserted
            kept = alive.nonzero().squeeze(1)
            if not len(kept) or not left:
                break
            if len(kept) < len(rows):
                running.keep(kept)
                rows, token = rows[kept], token[kept]
            embeds = policy.embed(token[:, None])
            if inserted is None:
                running.feed_token(embeds)
            else:
                transcript.insert(inserted)
                running.feed(*behind(embeds, inserted, inserted.embeds(policy, encoded), rows))
        return transcript


def running_rows(policy: AudioLM, prompts: Prompts, group_size: int) -> SharedRows | RunningRows:
    """Rows that share their prompt where that can be; else each repeats it."""
    return (SharedRows if rows_share(policy) else RunningRows)(policy, prompts, group_size)


def adjusted(
    controllers: Sequence[Controller], logits: Float[Tensor, "r v"], rows: Int[Tensor, " r"]
) -> tuple[Float[Tensor, "r v"], Int[Tensor, " r"]]:
    """The logits after every controller, in their order, and the role of what each row draws from them."""
    roles = torch.full_like(rows, Role.SAMPLED)
    for controller in controllers:
        logits, bent = controller.adjust(logits, rows)
        if bent is not None:
            roles.masked_fill_(bent, Role.BENT)
    for controller in controllers:
        hidden = controller.hidden(rows)
        if hidden is not None:
            roles.masked_fill_(hidden, Role.LATENT)
    return logits, roles


def behind(
    embeds: Float[Tensor, "r 1 d"], inserted: Inserted, own: Float[Tensor, "k w d"], rows: Int[Tensor, " r"]
) -> tuple[Float[Tensor, "r n d"], Bool[Tensor, "r n"]]:
    """The token just drawn and what is inserted behind it, for the rows of the batch, and where there is something.

    `own` are the embeddings of what is inserted.
    """
    place = {row: i for i, row in enumerate(rows.tolist())}
    index = torch.tensor([place[row] for row in inserted.rows], device=rows.device)
    more = embeds.new_zeros(len(embeds), inserted.ids.shape[1], embeds.shape[2])
    more[index] = own.to(embeds.dtype)
    real = torch.zeros(more.shape[:2], dtype=torch.bool, device=rows.device)
    real[index] = inserted.roles != Role.PAD
    return torch.cat([embeds, more], 1), torch.cat([torch.ones_like(real[:, :1]), real], 1)
