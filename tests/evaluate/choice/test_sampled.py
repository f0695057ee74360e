"""What is kept of how an answer came about."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cogrl.evaluate.choice.sampled import sampled_answers
from cogrl.rollout import Controller
from cogrl.types import Clip, Completions, Example, Prompts, Role, Rollouts, Span

S, F, L, A, B, P = Role.SAMPLED, Role.FORCED, Role.LATENT, Role.AUDIO, Role.BENT, Role.PAD


class Counts(Controller):
    """Reports the number of each completion."""

    def metrics(self, rollouts):
        return {"place": torch.arange(len(rollouts)).float()}


def rollouts() -> Rollouts:
    """Clips of one and of two seconds at 100 Hz; two clips inserted into the first answer, one of them its own."""
    roles = torch.tensor([[S, F, A, A, F, B, F, A, F, S], [S, L, L, S, P, P, P, P, P, P]])
    audio = {"mels": torch.zeros(2, 3)}
    return Rollouts(
        clips=[Clip(Example(name, Path(name)), np.zeros(n, dtype=np.float32)) for name, n in (("a", 100), ("b", 200))],
        formats=["choice"] * 2,
        prompts=Prompts(torch.zeros(2, 5, dtype=torch.long), torch.ones(2, 5, dtype=torch.long), {}),
        completions=Completions(torch.zeros_like(roles), roles, audio, (2, 0)),
        sampling_logprobs=torch.zeros(roles.shape),
        texts=["one", "two"],
        finish=["end", "length"],
        group_size=1,
        spans=[(Span(0.1, 0.4),), ()],
    )


def test_what_was_inserted_is_counted_by_role_and_the_time_is_shared():
    first, second = sampled_answers(rollouts(), [Counts()], 100, seconds=0.5)
    assert (first.text, first.clip_s, first.spans, first.clips) == ("one", 1.0, (Span(0.1, 0.4),), 2)
    assert (first.audio_tokens, first.inserted_tokens) == (3, 7)
    assert (second.clip_s, second.spans, second.clips) == (2.0, (), 0)
    assert (second.audio_tokens, second.inserted_tokens) == (0, 2)
    assert first.ms == second.ms == pytest.approx(250.0)
    assert first.reported == {"aborted": 0.0, "relistens": 2.0, "place": 0.0} and second.reported["place"] == 1.0


def test_nothing_is_reported_without_controllers():
    assert [one.reported for one in sampled_answers(rollouts(), [], 100, 0.5)] == [{}, {}]
