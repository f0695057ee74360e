"""Implicit internalisation: direct answers distilled from answers with a thought. (arXiv:2606.06940, stage II)"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cogrl.lm_head import sequence_kl
from cogrl.models.audio_lm import AudioLM
from cogrl.rollout.sampling import Sampling
from cogrl.stages.sft import Sft
from cogrl.types import ClipBatch, Completions, Rollouts

OPENING = "<response>"


class Distill(Sft):
    """Both prompts in one batch, 1:1: in eips the target thinks and answers, in direct it answers. Shared weights.

    The mean over each sample's tokens keeps the shares equal although targets of eips are several times longer.

    Args:
        on_policy: weight of a second term: the policy answers in direct, and its explicit format, after a thought of
            its own about the same clip, is the teacher of each word: KL(student || teacher). Not in the paper; it is
            on-policy distillation. (arXiv:2306.13649)
        temperature: of the thoughts and answers that `on_policy` samples.
    """

    def __init__(self, policy: AudioLM, on_policy: float = 0.0, temperature: float = 1.0, **shared: Any) -> None:
        super().__init__(policy, **shared)
        if on_policy < 0:
            raise ValueError(f"on_policy={on_policy} is a weight and must not be negative")
        self.on_policy = on_policy
        self.drawing = Sampling(temperature=temperature, max_new_tokens=self.sampling.max_new_tokens)

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        if not self.on_policy:
            return loss
        divergence = self.self_distillation(batch)
        self.log("distill/kl", divergence, batch_size=len(batch))
        return loss + self.on_policy * divergence

    def self_distillation(self, batch: ClipBatch) -> Tensor:
        """KL of sampled direct answers to the explicit format that has thought; end tokens are left to the targets."""
        with self.whole():
            thoughts, answers = (self.draw(batch, format) for format in ("eips", "direct"))
        policy = self.policy
        words = without_end(answers.completions, answers.finished)
        openings = [opening(text) for text in thoughts.texts]
        usable = torch.tensor([text is not None for text in openings], device=words.mask.device)
        words = Completions.from_mask(words.ids, words.mask & usable[:, None])
        self.log("distill/thoughts", usable.float().mean(), batch_size=len(batch))
        was_training = policy.training
        policy.eval()  # the teacher's log-probabilities are without dropout, as it sampled
        with torch.no_grad():
            states = policy.token_states(thoughts.prompts, self.after(openings, words))
        policy.train(was_training)
        student = policy.token_states(answers.prompts, words)
        (head, bias), impl = policy.head, policy.head_impl
        return sequence_kl(student, head, states, head, words.mask, direction="reverse", bias=bias, impl=impl).loss

    def draw(self, batch: ClipBatch, format: str) -> Rollouts:
        """Samples without controllers: the teacher scores the sampled tokens alone."""
        return self.run_engine(batch.clips, [format] * len(batch), self.drawing, controllers=[])

    def after(self, openings: Sequence[str | None], words: Completions) -> Completions:
        """The same answer tokens behind each row's thought; only they are masked in."""
        tokenizer, device = self.policy.tokenizer, words.ids.device
        heads = [tokenizer(text or "", add_special_tokens=False).input_ids for text in openings]
        rows = [
            (torch.tensor(head, dtype=torch.long, device=device), ids[mask])
            for head, ids, mask in zip(heads, words.ids, words.mask, strict=True)
        ]
        width = max(1, max(len(head) + len(own) for head, own in rows))
        ids = torch.full((len(rows), width), tokenizer.pad_token_id, device=device)
        mask = torch.zeros_like(ids, dtype=torch.bool)
        for i, (head, own) in enumerate(rows):
            ids[i, : len(head) + len(own)] = torch.cat([head, own])
            mask[i, len(head) : len(head) + len(own)] = True
        return Completions.from_mask(ids, mask)


def opening(completion: str) -> str | None:
    """A thought up to where its reply begins; None when the completion has no reply."""
    thought, tag, _ = completion.partition(OPENING)
    return thought + tag if tag else None


def without_end(completions: Completions, finished: Tensor) -> Completions:
    """The completions with the end token masked out where there is one."""
    lengths = completions.mask.sum(1) - finished.to(completions.ids.device, torch.long)
    steps = torch.arange(completions.mask.shape[1], device=lengths.device)
    return Completions.from_mask(completions.ids, steps < lengths[:, None])
