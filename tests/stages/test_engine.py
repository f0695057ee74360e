"""Stages sample through their engine, which has the weights of the step, and under their controllers."""

import pytest
import torch

from cogrl.formats.segments import SegmentRules
from cogrl.rollout import Controller, Engine, HFEngine, Sampling, Tokens
from cogrl.stages import Distill, Grpo
from cogrl.types import ClipBatch, Role


class WatchedEngine(HFEngine):
    """Notes in which order it is given weights and asked for completions."""

    def __init__(self) -> None:
        self.calls = []

    def sync(self, policy):
        self.calls.append("sync")

    def sample(self, *args, **kwargs):
        self.calls.append("sample")
        return super().sample(*args, **kwargs)


class Forces(Controller):
    """One token after the first of every completion."""

    def begin(self, policy, inputs, group_size):
        self.fresh = torch.ones(len(inputs) * group_size, dtype=torch.bool)

    def after(self, tokens, logprobs, rows):
        first = rows[self.fresh[rows]].tolist()
        self.fresh[rows] = False
        return {row: [Tokens([123])] for row in first}


def test_an_engine_is_whatever_samples_and_takes_weights():
    assert isinstance(HFEngine(), Engine) and isinstance(WatchedEngine(), Engine)
    assert not isinstance(Controller(), Engine)


def test_weights_are_handed_over_once_for_each_step(policy, clips, monkeypatch):
    engine, step = WatchedEngine(), [0]
    monkeypatch.setattr(Grpo, "global_step", property(lambda stage: step[0]))
    monkeypatch.setattr(Grpo, "global_rank", 0)
    stage = Grpo(policy, group_size=2, engine=engine, sampling=Sampling(max_new_tokens=2))
    stage.sample(clips, ["eips"] * 4)
    stage.sample(clips[:1], ["eips"], attempt=1)
    stage.answer(ClipBatch(clips[:1]), "eips")
    assert engine.calls == ["sync", "sample", "sample", "sample"]
    step[0] = 3
    stage.sample(clips[:1], ["eips"])
    assert engine.calls[4:] == ["sync", "sample"]


@pytest.mark.parametrize("how", ["sample", "answer"])
def test_the_controllers_of_a_stage_take_part_in_rollouts_and_in_answers(policy, clips, how):
    stage = Grpo(policy, group_size=2, controllers=[Forces()], sampling=Sampling(max_new_tokens=3))
    rollouts = stage.sample(clips[:1], ["eips"]) if how == "sample" else stage.answer(ClipBatch(clips[:1]), "eips")
    longer = rollouts.completions.mask.sum(1) > 1
    assert longer.any() and (rollouts.completions.roles[longer, 1] == Role.FORCED).all()
    assert (rollouts.completions.ids[longer, 1] == 123).all()


def test_samples_for_distillation_are_free_of_them(policy, clips):
    stage = Distill(policy, controllers=[Forces()], sampling=Sampling(max_new_tokens=3))
    roles = stage.draw(ClipBatch(clips), "eips").completions.roles
    assert set(roles.unique().tolist()) <= {Role.PAD, Role.SAMPLED}


def test_a_stage_reads_cited_segments_by_the_rules_of_its_first_controller_with_any(policy):
    short, long = Forces(), Forces()
    short.rules, long.rules = SegmentRules(max_s=1.0), SegmentRules(max_s=20.0)
    assert Grpo(policy, group_size=2, controllers=[Forces(), short, long]).segment_rules == short.rules
    assert Grpo(policy, group_size=2).segment_rules == SegmentRules()
