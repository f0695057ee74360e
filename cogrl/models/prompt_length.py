"""Checks that prompt and answer fit into a policy's positions, from texts and the lengths of audio files alone."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from cogrl.audio import audio_info, to_samples
from cogrl.models.audio_lm import AudioLM
from cogrl.models.chat_prompts import chat_prompts
from cogrl.types import Conversation, Example

_A_CLIP = np.zeros(0, dtype=np.float32)


@dataclass
class PromptBudget:
    """How many positions a policy has and how many prompts and answers take; `texts` caches the counts of texts."""

    policy: AudioLM
    texts: dict[tuple, int] = field(default_factory=dict)

    def overflow(self, example: Example, instructions: Iterable[str], max_new_tokens: int) -> str | None:
        """Why the longest prompt and the longest answer, given or sampled, do not fit; None when they do.

        The clips are taken to fit into the audio window; how long they are is looked at only where it matters.
        """
        texts = max(self.text(instruction, example) for instruction in instructions)
        clips = self.files(example)
        longest = max([max_new_tokens, *(len(text.encode()) + 1 for text in example.targets.values())])
        if texts + len(clips) * self.longest_clip + longest <= self.policy.max_positions:
            return None
        prompt = texts + self.audio(clips)
        budget = self.policy.max_positions - prompt
        long = [text for text in example.targets.values() if len(text.encode()) >= budget]  # a token has a byte or more
        answer = max([max_new_tokens, *map(self.answer, long)])
        if answer <= budget:
            return None
        return (
            f"a prompt of {prompt} tokens and up to {answer} of answer; this model has {self.policy.max_positions} "
            "positions: shorten the dialogue or the target, or lower sampling.max_new_tokens (of cogrl evaluate and "
            "generate: --max-new-tokens)"
        )

    @cached_property
    def longest_clip(self) -> int:
        """Audio tokens of a clip as long as the window."""
        return self._tokens([self.policy.max_audio_s])

    def text(self, instruction: str, example: Example) -> int:
        """Tokens of the prompt but those of audio."""
        turns = tuple(_A_CLIP if turn.audio else turn.text for turn in example.turns)
        replies = tuple(turn.reply for turn in example.turns)
        key = (instruction, tuple(turn if isinstance(turn, str) else None for turn in turns), replies)
        if key not in self.texts:
            clips, policy, count = Conversation((*turns, _A_CLIP), replies), self.policy, len(self.files(example))
            tokens = chat_prompts(
                policy.processor, policy.audio_token_id, [instruction], [clips], [[1] * count], [example.id]
            )
            self.texts[key] = tokens.input_ids.shape[1] - count
        return self.texts[key]

    def prompt(self, instruction: str, example: Example) -> int:
        """Tokens of the prompt, audio tokens of every spoken turn included."""
        return self.text(instruction, example) + self.audio(self.files(example))

    def files(self, example: Example) -> list[Path]:
        """The clips of all spoken turns."""
        return [turn.audio for turn in example.turns if turn.audio] + [example.audio]

    def audio(self, files: Sequence[Path]) -> int:
        """Tokens of these clips."""
        return self._tokens([audio_info(file).duration_s for file in files])

    def _tokens(self, seconds: Sequence[float]) -> int:
        samples = torch.tensor([to_samples(s, self.policy.sampling_rate) for s in seconds])
        return int(self.policy.audio_token_counts(samples).sum())

    def answer(self, text: str) -> int:
        """Tokens of a given answer, its end among them."""
        return int(self.policy.encode_targets([text]).mask.sum())


def overflows(policy: AudioLM, asked: Iterable[tuple[Example, Iterable[str]]], max_new_tokens: int) -> Iterator[str]:
    """For each example whose instructions leave no room for an answer of that length: where it stands, and why.

    No target counts.
    """
    budget = PromptBudget(policy)
    for example, instructions in asked:
        reason = budget.overflow(replace(example, targets={}), instructions, max_new_tokens)
        if reason:
            yield f"{example.where or example.audio} ({example.id}): {reason}"
