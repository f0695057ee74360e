"""Which prompt and which target supervised fine-tuning shows, and in what share."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cogrl.prompts import told
from cogrl.stages import Distill, Sft
from cogrl.types import ClipBatch


def routes_drawn(stage, clips, batches):
    """The routes of so many batches; nothing is computed."""
    drawn = []
    stage.loss = lambda batch, routes: drawn.extend(routes) or torch.tensor(0.0)
    stage.log = lambda *args, **kwargs: None
    for number in range(batches):
        stage.training_step(ClipBatch(clips), number)
    return drawn


@pytest.mark.parametrize("ratio", [0.0, 0.25, 1.0])
def test_the_ratio_is_the_share_of_direct_answers(policy, clips, ratio):
    drawn = routes_drawn(Sft(policy, route_b_ratio=ratio), clips, 500)
    assert drawn.count("B") == pytest.approx(ratio * len(drawn), abs=0.03 * len(drawn) if 0 < ratio < 1 else 0)


def test_distillation_shows_both_prompts_alike(policy, clips):
    drawn = routes_drawn(Distill(policy), clips, 500)
    assert drawn.count("B") == pytest.approx(len(drawn) / 2, abs=0.03 * len(drawn))


def test_who_reads_does_not_hear_and_who_hears_does_not_read(policy, clips):
    policy.lm_head_weight.data.mul_(30)
    another = [replace(clip, waveform=(clip.waveform * np.float32(0.1))[::-1].copy()) for clip in clips]
    renamed = [replace(clip, example=replace(clip.example, text="Something else was said.")) for clip in clips]

    def losses(stage):
        return [stage.loss(ClipBatch(given), ["A", "B", "A", "B"]).item() for given in (clips, another, renamed)]

    plain, other_sound, other_words = losses(Sft(policy, reads=True))
    assert plain == other_sound != pytest.approx(other_words, rel=1e-5)
    plain, other_sound, other_words = losses(Sft(policy))
    assert plain == other_words != pytest.approx(other_sound, rel=1e-5)


def test_who_reads_is_told_the_emotion(policy, clips):
    stage = Sft(policy, reads=True)
    seen, encode = [], stage.encode
    stage.encode = lambda batch, routes, given: seen.extend(given) or encode(batch, routes, given)
    stage.loss(ClipBatch(clips), ["A"] * 4)
    assert seen == [told(clip.example) for clip in clips]
