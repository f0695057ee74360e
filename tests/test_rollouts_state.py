"""Rollouts come back from a checkpoint as they were, read without running any code."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import torch

from cogrl.types import Clip, Completions, Example, Prompts, Rollouts, Span
from cogrl.types.rollouts_state import rollouts_of, state_of


def sampled() -> Rollouts:
    """Two groups of two; the second row heard a part of its clip again."""
    clips = [Clip(Example(name, Path(f"{name}.wav")), np.zeros(8, np.float32)) for name in "ab"]
    ids = torch.arange(12).view(4, 3)
    inserted = {"input_features": torch.rand(1, 4, 8), "lengths": torch.tensor([8])}
    return Rollouts(
        clips=clips,
        formats=["eips", "direct"],
        prompts=Prompts(torch.arange(10).view(2, 5), torch.ones(2, 5, dtype=torch.long), {"mels": torch.rand(2, 4, 8)}),
        completions=Completions(ids, torch.ones_like(ids), inserted, (0, 1, 0, 0)),
        sampling_logprobs=torch.rand(4, 3),
        texts=list("wxyz"),
        finish=["end", "end", "length", "abort"],
        group_size=2,
        policy_version=6,
        spans=[(), (Span(0.5, 1.25),), (), ()],
        token_ends=[(1, 2, 3), None, (1,), ()],
        rewards=torch.rand(4),
        advantages=torch.rand(4),
        old_logprobs=torch.rand(4, 3),
    )


def parts(value) -> object:
    """A nest of plain lists, for comparison."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.tolist()
    if isinstance(value, Prompts | Completions):
        return {part.name: parts(getattr(value, part.name)) for part in fields(value)}
    return {name: parts(one) for name, one in value.items()} if isinstance(value, dict) else value


def test_rollouts_come_back_whole_with_their_clips(tmp_path):
    before = sampled()
    torch.save(state_of(before), tmp_path / "state")
    state = torch.load(tmp_path / "state", weights_only=True)
    after = rollouts_of(state, before.clips, torch.device("cpu"))
    assert after.clips is before.clips
    for part in fields(Rollouts):
        assert parts(getattr(after, part.name)) == parts(getattr(before, part.name)), part.name
    first, second = before.groups([1]), after.groups([1])
    assert parts(first.completions) == parts(second.completions) and first.texts == second.texts
