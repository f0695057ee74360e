"""What answers cited and heard again, as one number a completion."""

from collections.abc import Sequence
from itertools import combinations
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor

from cogrl.formats.segments import Citation, InvalidReason, overlap
from cogrl.types import Role, Rollouts

REASONS: tuple[InvalidReason, ...] = get_args(InvalidReason)


def relisten_figures(rollouts: Rollouts, citations: Sequence[Sequence[Citation]]) -> dict[str, Float[Tensor, " b"]]:
    """Of each completion: how many citations there are, how many are invalid for which reason, and what was inserted.

    That is `segments` clips with `segment_tokens` placeholders, and of those that are parts of the prompt's own clip
    `segment_seconds` and the mean `segment_overlap` of two of them, in [0, 1] (NaN for fewer than two).
    """
    invalid = [[citation.invalid for citation in row] for row in citations]
    pairs = [[overlap(*pair) for pair in combinations(inserted, 2)] for inserted in rollouts.spans]
    figures = {
        "cited": [len(row) for row in invalid],
        "segments": rollouts.completions.clip_counts,
        "segment_tokens": (rollouts.completions.roles_on_host == Role.AUDIO).sum(1).tolist(),
        "segment_seconds": [sum(span.duration_s for span in inserted) for inserted in rollouts.spans],
        "segment_overlap": [sum(row) / len(row) if row else float("nan") for row in pairs],
        **{f"invalid_{name}": [row.count(name) for row in invalid] for name in REASONS},
    }
    return {name: torch.tensor(values, dtype=torch.float) for name, values in figures.items()}
