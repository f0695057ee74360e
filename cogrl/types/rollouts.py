"""What an engine sampled: completions in groups of one prompt, how each ended, and what the stage adds."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cogrl.types.completions import Completions, stacked
from cogrl.types.inputs import Clip, Example, Prompts, Span
from cogrl.types.speech import Speech

Finish = Literal["end", "length", "abort"]
"""How a completion ended: with an end token, without one because it was cut, or because a controller gave it up."""


_ROWS = ("texts", "finish", "spans", "token_ends", "speech")
"""What there is one of for each completion, in lists."""


@dataclass(frozen=True)
class Rollouts:
    """What an engine sampled, group by group. Produced once, then read-only.

    `sampling_logprobs` are under the distribution each token was drawn from (its temperature included, and what
    controllers did to it), and 0 on tokens that the policy did not draw. `texts` are made of drawn tokens only. `spans`
    are the parts of the clip that were inserted into a row again (None: into no row), `token_ends` says up to which
    character of its text a row has come with each sampled token (None: unknown), and `speech` what a row sounds like
    where its reply was spoken (None: nothing was). The stage fills in `advantages` (one a completion, or one a token
    where sections are credited apart) and `rewards`, on the CPU, once the completions are scored and, where its
    objective asks for them and at the same temperature, `old_logprobs` of the policy before its first update (None: the
    sampling ones are taken for them) and `ref_logprobs` of the frozen reference.
    """

    clips: Sequence[Clip]
    formats: Sequence[str]
    prompts: Prompts
    completions: Completions
    sampling_logprobs: Float[Tensor, "b t"]
    texts: Sequence[str]
    finish: Sequence[Finish]
    group_size: int
    policy_version: int = 0
    spans: Sequence[tuple[Span, ...]] | None = None
    token_ends: Sequence[tuple[int, ...] | None] | None = None
    speech: Sequence[Speech | None] | None = None
    rewards: Float[Tensor, " b"] | None = None
    advantages: Float[Tensor, " b"] | Float[Tensor, "b t"] | None = None
    old_logprobs: Float[Tensor, "b t"] | None = None
    ref_logprobs: Float[Tensor, "b t"] | None = None

    def __len__(self) -> int:
        return self.completions.ids.shape[0]

    def __post_init__(self) -> None:
        if self.spans is None:
            object.__setattr__(self, "spans", [()] * len(self))
        if self.speech is None:
            object.__setattr__(self, "speech", [None] * len(self))
        if self.token_ends is None:
            object.__setattr__(self, "token_ends", [None] * len(self))

    @property
    def finished(self) -> Bool[Tensor, " b"]:
        """Which completions ended with an end token, on the CPU."""
        return torch.tensor([reason == "end" for reason in self.finish], dtype=torch.bool)

    @property
    def row_formats(self) -> list[str]:
        """The format of each completion."""
        return [format for format in self.formats for _ in range(self.group_size)]

    @property
    def row_examples(self) -> list[Example]:
        """The example of each completion."""
        return [clip.example for clip in self.clips for _ in range(self.group_size)]

    def groups(self, index: Sequence[int]) -> "Rollouts":
        """The groups at `index` (whole groups only: a group is never split)."""
        p, rows = torch.as_tensor(index), self.rows_of(index)
        by_row = {part.name: getattr(self, part.name) for part in fields(self)}
        return replace(
            self,
            clips=[self.clips[i] for i in index],
            formats=[self.formats[i] for i in index],
            prompts=self.prompts.select(p),
            completions=self.completions.rows(rows),
            **{name: [getattr(self, name)[i] for i in rows.tolist()] for name in _ROWS},
            **{name: value[rows] for name, value in by_row.items() if isinstance(value, Tensor)},
        )

    def rows_of(self, index: Sequence[int]) -> Int[Tensor, " rows"]:
        """The rows of the groups at `index`, in that order."""
        groups = torch.as_tensor(index, dtype=torch.long)
        return (groups[:, None] * self.group_size + torch.arange(self.group_size)).flatten()

    def with_groups(self, index: Sequence[int], other: "Rollouts") -> "Rollouts":
        """These rollouts, the groups at `index` replaced by those of `other`: new completions of the same prompts."""
        rows = self.rows_of(index)
        chosen = torch.arange(len(self))
        chosen[rows] = len(self) + torch.arange(len(other))

        def put(mine: Sequence, theirs: Sequence) -> list:
            both = [*mine, *theirs]
            return [both[i] for i in chosen.tolist()]

        return replace(
            self,
            completions=self.completions.with_rows(rows, other.completions),
            sampling_logprobs=stacked(self.sampling_logprobs, other.sampling_logprobs)[chosen],
            **{name: put(getattr(self, name), getattr(other, name)) for name in _ROWS},
            **dict.fromkeys(("rewards", "advantages", "old_logprobs", "ref_logprobs")),
        )
