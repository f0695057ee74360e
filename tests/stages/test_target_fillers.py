"""Fillers in targets: read and not trained, at random places, never behind the last token."""

import random

import pytest
import torch

from cogrl.rollout.controllers import Filler
from cogrl.stages import Align, Sft
from cogrl.stages.target_fillers import TargetFillers
from cogrl.types import ClipBatch, Role

LATENT = Filler("<thought>", 3)


def test_fillers_stand_between_the_tokens_of_a_share_of_the_targets(policy):
    targets = policy.encode_targets(["It is quiet here.", "Rain.", "I am so glad to hear that you came."] * 20)
    found = TargetFillers(LATENT, most=2, share=0.5).inserted(targets, policy, random.Random(0))
    filler = policy.tokenizer("<thought>", add_special_tokens=False).input_ids[0]
    counts = []
    for before, ids, roles in zip(targets.ids, found.ids, found.roles, strict=True):
        latent = roles == Role.LATENT
        assert torch.equal(ids[roles == Role.SAMPLED], before[before != policy.tokenizer.pad_token_id])
        assert (ids[latent] == filler).all() and int(latent.sum()) in (0, 3, 6)
        last = int((roles != Role.PAD).sum()) - 1
        assert roles[0] == roles[last] == Role.SAMPLED
        counts.append(int(latent.sum()))
    assert 15 <= sum(count > 0 for count in counts) <= 45 and {3, 6} <= set(counts)
    repeated = TargetFillers(LATENT, most=2, share=0.5).inserted(targets, policy, random.Random(0))
    assert torch.equal(repeated.ids, found.ids) and torch.equal(repeated.roles, found.roles)


def test_what_follows_a_filler_is_learnt_behind_it_and_the_filler_itself_is_not(policy, clips):
    """The loss is that of the same tokens scored in a context with the fillers in it."""
    stage = Sft(policy, formats={"direct": 1.0}, target_fillers=TargetFillers(LATENT, most=1, share=1.0))
    batch = ClipBatch(clips[:2])
    with torch.no_grad():
        paused, found = stage.loss(batch, ["direct"] * 2), stage.targets(batch, ["direct"] * 2)
        plain = stage.eval().loss(batch, ["direct"] * 2)
        prompts = stage.encode(batch, ["direct"] * 2, [clip.waveform for clip in batch.clips])
        scored = policy.token_logprobs(prompts, found).logprobs
    expected = -(scored * found.mask).sum(1) / found.mask.sum(1)
    assert (scored[found.roles != Role.SAMPLED] == 0).all() and paused.item() == pytest.approx(expected.mean().item())
    assert abs(paused - plain) > 1e-4


@pytest.mark.parametrize("settings", [{"most": 0}, {"share": 0.0}, {"share": 1.5}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match="target_fillers: most="):
        TargetFillers(**settings)


def test_align_which_compares_with_a_teacher_takes_none(policy):
    with pytest.raises(ValueError, match="give target_fillers to Sft"):
        Align(policy, target_fillers=TargetFillers(LATENT))


def test_a_filler_that_the_tokenizer_lacks_is_refused(policy):
    targets = policy.encode_targets(["Well."])
    with pytest.raises(ValueError, match="has no such entry"):
        TargetFillers(Filler("<PAUSE>", 2)).inserted(targets, policy, random.Random(0))
