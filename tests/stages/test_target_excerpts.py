"""Cited segments in targets: inserted by chance or always, read and not trained, refused before training."""

import random
from dataclasses import replace

import pytest
import torch

from cogrl.formats.segments import SegmentRules
from cogrl.rollout.controllers import Filler
from cogrl.stages import Align, Sft
from cogrl.stages.target_excerpts import TargetExcerpts
from cogrl.stages.target_fillers import TargetFillers
from cogrl.types import Clip, ClipBatch, Role

TEXT = "so <seg>0.1, 0.6</seg> it rains <seg>0.3, 0.9</seg> here"


@pytest.fixture
def citing(clips):
    """Two clips, one the other backwards, whose direct target cites two segments."""
    example = replace(clips[0].example, targets={"direct": TEXT})
    return [Clip(example, clips[0].waveform), Clip(example, clips[0].waveform[::-1].copy())]


def stage_of(policy, **excerpts):
    return Sft(policy, formats={"direct": 1.0}, target_excerpts=TargetExcerpts(**excerpts))


def test_each_segment_is_there_with_its_probability_and_always_in_validation(policy, citing):
    texts, clips = [TEXT] * 60, [citing[0]] * 60
    targets = policy.encode_targets(texts)
    some = TargetExcerpts(share=0.5).inserted(targets, texts, clips, policy, random.Random(0))
    assert set(some.clip_counts) == {0, 1, 2} and 40 <= sum(some.clip_counts) <= 80
    stage, batch = stage_of(policy, share=0.5), ClipBatch(citing)
    assert stage.eval().targets(batch, ["direct"] * 2).clip_counts == (2, 2)
    counts = stage.train().targets(batch, ["direct"] * 2).clip_counts
    assert counts == stage.targets(batch, ["direct"] * 2).clip_counts  # a repeated step draws the same


def test_what_follows_a_segment_is_learnt_behind_it_and_the_segment_itself_is_not(policy, citing):
    stage, batch, formats = stage_of(policy), ClipBatch(citing), ["direct"] * 2
    with torch.no_grad():
        loss, found = stage.loss(batch, formats), stage.targets(batch, formats)
        prompts = stage.encode(batch, formats, [clip.waveform for clip in citing])
        scored = policy.token_logprobs(prompts, found).logprobs
        plain = Sft(policy, formats={"direct": 1.0}).loss(batch, formats)
    expected = -(scored * found.mask).sum(1) / found.mask.sum(1)
    assert loss.item() == pytest.approx(expected.mean().item()) and abs(loss - plain) > 1e-4
    inserted = (found.roles == Role.AUDIO) | (found.roles == Role.FORCED)
    assert inserted.any() and (scored[inserted] == 0).all()


@pytest.mark.parametrize("frozen", [True, False])
def test_gradients_reach_the_tower_through_what_was_inserted_unless_it_is_frozen(make, citing, frozen):
    policy = make(train_audio_tower=not frozen)
    stage, batch, formats = stage_of(policy), ClipBatch(citing), ["direct"] * 2
    prompts = stage.encode(batch, formats, ["It is quiet."] * 2)  # no audio but what is inserted
    policy.token_logprobs(prompts, stage.targets(batch, formats)).logprobs.sum().backward()
    gradients = [parameter.grad for parameter in policy.audio_tower.parameters() if parameter.grad is not None]
    assert bool(gradients) != frozen and all(gradient.isfinite().all() for gradient in gradients)
    assert frozen or any(gradient.abs().max() > 0 for gradient in gradients)


@pytest.mark.parametrize(
    ("tag", "reason"),
    [("<seg>2, 1</seg>", "reversed"), ("<seg>1..2, 3</seg>", "malformed"), ("<seg>8, 99</seg>", "outside")],
)
def test_a_target_that_cites_what_can_not_be_heard_is_refused_before_training(policy, clips, tag, reason):
    example = replace(clips[0].example, targets={"direct": f"so {tag} it is"}, duration_s=9.0)
    found = stage_of(policy).validate(example)
    assert f"targets.direct cites {tag!r}, which is {reason}" in found and "correct the times" in found
    assert Sft(policy, formats={"direct": 1.0}).validate(example) is None
    clip = replace(clips[0], example=example)
    with pytest.raises(ValueError, match=rf"{example.id}\): its target cites .* which is {reason}"):
        stage_of(policy).loss(ClipBatch([clip]), ["direct"])


def test_the_rules_are_those_that_are_given(policy, citing):
    found = stage_of(policy, rules=SegmentRules(min_s=0.55)).validate(citing[0].example)
    assert "'<seg>0.1, 0.6</seg>', which is too_short" in found


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_shares_out_of_range_are_refused(share):
    with pytest.raises(ValueError, match="target_excerpts: share="):
        TargetExcerpts(share=share)


def test_one_kind_of_insertion_and_only_in_sft(policy):
    with pytest.raises(ValueError, match="targets take one of them"):
        Sft(policy, target_fillers=TargetFillers(Filler("<thought>", 3)), target_excerpts=TargetExcerpts())
    with pytest.raises(ValueError, match="give target_fillers to Sft, or target_excerpts"):
        Align(policy, target_excerpts=TargetExcerpts())


def test_without_a_duration_nothing_can_be_checked_and_formats_that_are_only_validated_are(policy, citing):
    example = replace(citing[0].example, duration_s=None)
    assert "can not be checked without duration_s" in stage_of(policy).validate(example)
    other = replace(example, targets={"direct": "So.", "eips": "<seg>8, 99</seg>"}, duration_s=9.0)
    assert "targets.eips cites '<seg>8, 99</seg>', which is outside" in stage_of(policy).validate(other)


def test_a_target_that_does_not_fit_with_its_segments_is_refused_by_name(policy, citing):
    stage, batch = stage_of(policy), ClipBatch(citing)
    policy.model.config.get_text_config().max_position_embeddings = 160
    with pytest.raises(ValueError, match=r"prompt, target and inserted segments take \d+ tokens"):
        stage.loss(batch, ["direct"] * 2)
