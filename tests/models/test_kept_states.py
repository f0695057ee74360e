"""A frozen encoder runs once for each clip: the same frames, the same gradients, whatever came before."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cogrl.models.kept_states import KeptStates
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.parallel.fsdp import FsdpStrategy
from cogrl.parallel.zero import ZeroStrategy
from cogrl.stages.agreement import encoders

FROZEN = {"train_audio_tower": False}


def noise(samples):
    return np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)


CLIPS = [noise(samples) for samples in (16_000, 9_999, 31_001, 1_700, 63_999)]


@pytest.fixture
def keeping(coarse_policy_dir):
    return Qwen2Audio(str(coarse_policy_dir), keep_states_mb=1.0, **FROZEN).load()


@pytest.fixture
def plain(coarse_policy_dir):
    return Qwen2Audio(str(coarse_policy_dir), **FROZEN).load()


def counted(policy) -> list[int]:
    """How many clips each run of the encoder has, from now on."""
    runs, encoded = [], policy.audio_tower.encoded
    policy.audio_tower.encoded = lambda features, frames: runs.append(len(features)) or encoded(features, frames)
    return runs


def tensors(policy, clips, fine):
    return (policy.excerpt_tensors if fine else policy.audio_tensors)(clips)


@pytest.mark.parametrize("fine", [False, True])
def test_the_frames_are_the_same_and_each_clip_is_encoded_once(keeping, plain, fine):
    runs = counted(keeping)
    for clips in (CLIPS[:3], CLIPS[1:], CLIPS[::-1], CLIPS[:1]):
        found, counts = keeping.audio_embeds(tensors(keeping, clips, fine))
        expected, lengths = plain.audio_embeds(tensors(plain, clips, fine))
        assert counts.tolist() == lengths.tolist()
        for mine, theirs, count in zip(found, expected, counts.tolist(), strict=True):
            torch.testing.assert_close(mine[:count], theirs[:count], atol=1e-5, rtol=1e-5)
    assert runs == [1] * len(CLIPS)


def test_a_clip_read_at_two_rates_is_encoded_once(keeping):
    runs = counted(keeping)
    coarse, fine = (keeping.audio_embeds(tensors(keeping, CLIPS[:2], fine))[1] for fine in (False, True))
    assert runs == [1, 1] and (coarse < fine).all()


def gradients(policy):
    prompts = policy.encode_prompts(["go"] * 3, CLIPS[:3], ["a", "b", "c"])
    hidden = policy.token_states(prompts, policy.encode_targets(["yes", "no no", "why"])).hidden
    policy.zero_grad()
    hidden.square().mean().backward()
    return {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}


def test_what_learns_behind_the_encoder_has_the_same_gradients_even_if_clips_were_met_without_any(keeping, plain):
    with torch.no_grad():
        keeping.encode_prompts(["go"], CLIPS[:1], ["a"])
        keeping.audio_embeds(keeping.audio_tensors(CLIPS[:1]))
    expected = gradients(plain)
    assert any("projector" in name for name in expected) and not any("audio_tower" in name for name in expected)
    for _ in range(2):
        found = gradients(keeping)
        assert found.keys() == expected.keys()
        for name, gradient in found.items():
            torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-4)


def test_the_clips_used_last_are_kept_within_the_bound(keeping, plain):
    keeping.audio_embeds(keeping.excerpt_tensors(CLIPS[:1]))
    (states,) = keeping.kept_states.kept.values()
    assert keeping.kept_states.bytes == states.nbytes
    keeping.kept_states = KeptStates(2.5 * states.nbytes / 2**20)
    runs, same_length = counted(keeping), [noise(16_000), *(np.roll(CLIPS[0], n) for n in (1, 2))]
    for place, encoded in ((0, 1), (1, 2), (0, 2), (2, 3), (0, 3), (1, 4)):  # 2 takes the place of 1, not of 0
        found, _ = keeping.audio_embeds(keeping.excerpt_tensors([same_length[place]]))
        expected, _ = plain.audio_embeds(plain.excerpt_tensors([same_length[place]]))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        assert len(runs) == encoded
    assert keeping.kept_states.bytes <= keeping.kept_states.most_bytes


def test_a_clip_larger_than_the_bound_is_not_kept(keeping):
    keeping.kept_states = KeptStates(1e-4)
    found, _ = keeping.audio_embeds(keeping.audio_tensors(CLIPS))
    assert len(found) == len(CLIPS) and not keeping.kept_states.kept and not keeping.kept_states.bytes


def test_an_encoder_that_trains_is_refused(coarse_policy_dir, keeping):
    with pytest.raises(ValueError, match=r"keep_states_mb=64.0 keeps.*train_audio_tower: false"):
        Qwen2Audio(str(coarse_policy_dir), keep_states_mb=64.0)
    with pytest.raises(ValueError, match="keep_states_mb=0"):
        Qwen2Audio(str(coarse_policy_dir), keep_states_mb=0.0, **FROZEN)
    keeping.audio_tower.layers[0].fc1.weight.requires_grad_(True)
    with torch.no_grad(), pytest.raises(ValueError, match="this one trains"):
        keeping.audio_embeds(keeping.audio_tensors(CLIPS[:1]))


def test_a_strategy_under_which_all_ranks_run_the_encoder_is_refused(keeping, plain):
    def said(policy, sharding):
        return encoders(SimpleNamespace(policy=policy, sharding=sharding, trainer=SimpleNamespace(strategy=sharding)))

    for strategy in (ZeroStrategy(3), FsdpStrategy()):
        assert f"under {type(strategy).__name__} all ranks run it together" in said(keeping, strategy)
        assert said(plain, strategy) is None
    assert said(keeping, ZeroStrategy(2)) is said(keeping, None) is None
