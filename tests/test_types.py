"""Rollouts keep groups whole."""

from pathlib import Path

import numpy as np
import torch

from cogrl.types import Clip, Completions, Example, Prompts, Rollouts


def clip(name: str) -> Clip:
    example = Example(name, Path(name), "sft", "Here.", "t0", "s0", "neutral")
    return Clip(example, np.zeros(10, dtype=np.float32))


def rollouts(groups: int = 3, size: int = 2) -> Rollouts:
    rows = groups * size
    ids = torch.arange(rows)[:, None]
    return Rollouts(
        clips=[clip(name) for name in "abc"],
        formats=["eips", "direct", "eips"],
        prompts=Prompts(
            torch.arange(groups)[:, None], torch.ones(groups, 1, dtype=torch.long), {"x": torch.arange(groups)}
        ),
        completions=Completions.from_mask(ids, torch.ones(rows, 1, dtype=torch.bool)),
        sampling_logprobs=ids.float(),
        texts=[str(i) for i in range(rows)],
        finish=["end"] * rows,
        group_size=size,
        advantages=torch.arange(rows).float(),
    )


def test_selecting_groups_moves_every_field_together():
    whole = rollouts()
    part = whole.groups([2, 0])
    assert part.texts == ["4", "5", "0", "1"]
    assert part.completions.ids.flatten().tolist() == part.advantages.tolist() == [4, 5, 0, 1]
    assert part.prompts.input_ids.flatten().tolist() == part.prompts.audio["x"].tolist() == [2, 0]
    assert part.formats == ["eips", "eips"] and part.row_formats == ["eips"] * 4
    assert [c.example.id for c in part.clips] == ["c", "a"] and len(part) == 4
