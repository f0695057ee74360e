"""A target with its segments is token by token what the policy draws and reads when it writes that text."""

from dataclasses import replace

import pytest
import torch
from citing import END, written

from cogrl.rollout.controllers import Relisten
from cogrl.stages.target_excerpts import TargetExcerpts
from cogrl.types import Role

TEXTS = [
    "<think>first <seg>0, 1</seg> a voice, then <seg>1.5, 2</seg>.</think><answer>a</answer>",
    "<think>nothing</think><answer>b</answer>",
    "<think><seg>0.5,1.25</seg></think><answer>é水</answer>",
]


@torch.no_grad()
def frames(policy, completions):
    placeholders = (completions.roles == Role.AUDIO).sum(1)
    return policy.frames_in_order(completions.audio, completions.clip_counts, placeholders)


@pytest.mark.parametrize("family", ["tiny_policy_dir", "tiny_omni_dir", "coarse_policy_dir"])
def test_targets_are_what_sampling_makes_of_the_same_text(family, request, clips):
    from cogrl.models.qwen2_audio import Qwen2Audio
    from cogrl.models.qwen25_omni import Qwen25Omni

    kind = Qwen25Omni if "omni" in family else Qwen2Audio
    policy = kind(str(request.getfixturevalue(family))).load().eval()
    clip = clips[0]
    sampled = written(policy, [clip], [[text, END] for text in TEXTS], Relisten(), group_size=len(TEXTS)).completions
    plain = policy.encode_targets(TEXTS)
    found = TargetExcerpts().inserted(plain, TEXTS, [clip] * len(TEXTS), policy, None)
    assert found.clip_counts == sampled.clip_counts == (2, 0, 1)
    assert torch.equal(found.roles == Role.AUDIO, sampled.roles == Role.AUDIO)
    assert torch.equal(found.roles == Role.FORCED, sampled.roles == Role.FORCED)
    real = found.roles != Role.PAD
    assert torch.equal(real, sampled.roles != Role.PAD) and torch.equal(found.ids[real], sampled.ids[real])
    torch.testing.assert_close(frames(policy, found), frames(policy, sampled), rtol=0, atol=1e-5)
    assert torch.equal(found.ids[found.mask], plain.ids[plain.mask])
    backwards = replace(clip, waveform=clip.waveform[::-1].copy())
    other = TargetExcerpts().inserted(plain, TEXTS, [backwards] * len(TEXTS), policy, None)
    assert (frames(policy, other) - frames(policy, found)).abs().max() > 1e-3
