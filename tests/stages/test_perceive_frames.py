"""The frames' targets are what is heard in their middle; only the audio modules learn, and they do learn it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cogrl.stages import PerceiveFrames
from cogrl.types import Clip, ClipBatch, Event, Example, SpokenTurn


@pytest.fixture
def example(clips):
    speech = (SpokenTurn("low voice", 0.4, 0.8, "a b"),)
    return replace(clips[0].example, events=(Event(0.4, 0.8, "low voice"), Event(1.0, 1.2, "bell")), speech=speech)


def stage_of(policy, **settings):
    stage = PerceiveFrames(policy, events=["bell", "low voice"], units=["a", "b"], mask_frames=0, **settings)
    stage.configure_model()
    return stage


def test_a_frame_has_the_event_and_the_unit_of_its_middle(policy, example):
    found = stage_of(policy).labels(example, 12, 1.2)  # a tenth of a second each
    assert found[:, 0].tolist() == [0, 0, 0, 0, 2, 2, 2, 2, 0, 0, 1, 1]
    assert found[:, 1].tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 0, 0, 0, 0]


def test_with_a_grid_a_frame_says_from_when_to_when_its_event_lasts(policy, example):
    found = stage_of(policy, grid_s=0.5).labels(example, 12, 1.2)
    assert found[:, 2].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 3, 3]  # cells from 0.0 and from 1.0 s
    assert found[:, 3].tolist() == [0, 0, 0, 0, 2, 2, 2, 2, 0, 0, 3, 3]  # ... to 1.0 and to 1.5 s
    last = replace(example, events=(Event(policy.max_audio_s - 0.1, policy.max_audio_s, "bell"),), speech=())
    stage = stage_of(policy, grid_s=0.5)
    assert (stage.labels(last, 100, policy.max_audio_s).amax(0) < torch.tensor(stage.sizes)).all()


def test_lines_with_other_names_or_without_events_are_refused(policy, example):
    stage = stage_of(policy)
    assert stage.validate(example) is None
    assert "'horn' is none of the events" in stage.validate(replace(example, events=(Event(0.0, 1.0, "horn"),)))
    said = replace(example, speech=(SpokenTurn("low voice", 0.4, 0.8, "a c"),))
    assert "'c' is none of the events or units" in stage.validate(said)
    assert "no events" in stage.validate(replace(example, events=()))
    with pytest.raises(ValueError, match="a name stands twice"):
        PerceiveFrames(policy, events=["bell", "bell"])
    with pytest.raises(ValueError, match=r"grid_s=0\.0 must be above 0 seconds"):
        PerceiveFrames(policy, events=["bell"], grid_s=0.0)


def test_the_audio_modules_learn_when_a_tone_sounds_and_nothing_else_does(make):
    policy = make()
    stage, rng = stage_of(policy), np.random.default_rng(0)
    before = policy.embed.weight.clone()
    time = np.arange(16_000) / 16_000

    def clip(start):
        rings = 0.3 * np.sin(2 * np.pi * 440 * time) * ((time >= start) & (time < start + 0.4))
        example = Example(id="x", audio=Path("x.wav"), events=(Event(start, start + 0.4, "bell"),))
        return Clip(example, (rings + 0.01 * rng.standard_normal(16_000)).astype(np.float32))

    clips = [clip(start) for start in rng.uniform(0, 0.6, 12).tolist()]
    optimizer = torch.optim.AdamW([p for p in stage.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(60):
        loss, accuracy = stage.loss_and_accuracy(ClipBatch(clips), 0)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0] and accuracy > 0.8
    assert torch.equal(policy.embed.weight, before) and policy.audio_tower.conv1.weight.grad is not None
