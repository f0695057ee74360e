"""The record of one call of an engine: every token of every completion, its role, and how each completion ended."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cogrl.models.audio_lm import AudioLM
from cogrl.rollout.insertions import Inserted
from cogrl.rollout.token_ends import token_ends
from cogrl.types import (
    Clip,
    ClipTensors,
    Completions,
    Finish,
    Prompts,
    Role,
    Rollouts,
    Span,
    drawn_ids,
    join_clips,
    pick_clips,
)


@dataclass
class Transcript:
    """Columns of `b` completions, in which those that have nothing to add are padded.

    `ended` says which drew an end token, `aborted` which a controller ended; the others were cut.
    """

    b: int
    pad_id: int
    device: torch.device
    ids: list[Int[Tensor, "b w"]] = field(default_factory=list)
    roles: list[Int[Tensor, "b w"]] = field(default_factory=list)
    logprobs: list[Float[Tensor, "b w"]] = field(default_factory=list)
    audio: list[ClipTensors] = field(default_factory=list)
    clip_rows: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ended = torch.zeros(self.b, dtype=torch.bool, device=self.device)
        self.aborted: set[int] = set()
        self.spans: list[list[Span]] = [[] for _ in range(self.b)]

    def draw(
        self,
        rows: Int[Tensor, " r"],
        ids: Int[Tensor, "r w"],
        logprobs: Float[Tensor, "r w"],
        roles: Int[Tensor, "r w"],
    ) -> None:
        """Drawn tokens of the completions `rows`, as many of each as are not `PAD`."""
        columns = ((self.ids, ids, self.pad_id), (self.roles, roles, int(Role.PAD)), (self.logprobs, logprobs, 0.0))
        for written, values, filler in columns:
            column = values.new_full((self.b, values.shape[1]), filler)
            column[rows] = values
            written.append(column)

    def insert(self, inserted: Inserted) -> None:
        """What controllers put behind the last token of some completions."""
        rows = torch.tensor(inserted.rows, device=self.device)
        self.draw(rows, inserted.ids, torch.zeros(inserted.ids.shape, device=self.device), inserted.roles)
        self.audio.append(inserted.audio)
        for row, excerpts in zip(inserted.rows, inserted.excerpts, strict=True):
            self.clip_rows += [row] * len(excerpts)
            self.spans[row] += [excerpt.span for excerpt in excerpts if excerpt.span is not None]

    @property
    def finish(self) -> list[Finish]:
        """How each completion ended."""
        return [
            "abort" if row in self.aborted else "end" if ended else "length"
            for row, ended in enumerate(self.ended.tolist())
        ]

    def completions(self) -> tuple[Completions, Float[Tensor, "b t"]]:
        """All completions, tokens moved together, and the log-probability of each drawn token (0 elsewhere)."""
        ids, roles, logprobs = (torch.cat(columns, 1) for columns in (self.ids, self.roles, self.logprobs))
        is_padding = roles == Role.PAD
        order = is_padding.to(torch.uint8).argsort(dim=1, stable=True)[:, : int((~is_padding).sum(1).max())]
        in_order = sorted(range(len(self.clip_rows)), key=self.clip_rows.__getitem__)
        audio = pick_clips(join_clips(self.audio), in_order)
        counts = tuple(self.clip_rows.count(row) for row in range(self.b))
        completions = Completions(ids.gather(1, order), roles.gather(1, order), audio, counts)
        return completions, logprobs.gather(1, order)

    def rollouts(
        self,
        policy: AudioLM,
        clips: Sequence[Clip],
        formats: Sequence[str],
        prompts: Prompts,
        group_size: int,
        policy_version: int,
    ) -> Rollouts:
        """What was sampled of these prompts, with the texts that were drawn."""
        completions, logprobs = self.completions()
        texts = [policy.tokenizer.decode(ids) for ids in drawn_ids(completions, policy.end_ids)]
        return Rollouts(
            clips,
            formats,
            prompts,
            completions,
            logprobs,
            texts,
            self.finish,
            group_size,
            policy_version,
            [tuple(spans) for spans in self.spans],
            token_ends(policy.tokenizer, completions, texts),
        )
