"""A coarse first pass beside fine insertions: one rate a clip, the same in sampling and in training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cogrl.cli.main import main
from cogrl.models.frame_pooling import pooled, pooled_counts
from cogrl.models.qwen2_audio import Qwen2Audio

COARSE = 8


@pytest.fixture
def policy(coarse_policy_dir):
    return Qwen2Audio(str(coarse_policy_dir)).load()


def noise(samples):
    return np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)


def test_pooled_frames_are_means_of_neighbours_and_the_last_may_be_of_fewer():
    frames = torch.arange(20.0).reshape(2, 5, 2)
    found, counts = pooled(frames, torch.tensor([5, 3]), torch.tensor([2, 1]))
    assert counts.tolist() == [3, 3] == pooled_counts(torch.tensor([5, 3]), torch.tensor([2, 1])).tolist()
    torch.testing.assert_close(found[0], torch.stack([frames[0, :2].mean(0), frames[0, 2:4].mean(0), frames[0, 4]]))
    torch.testing.assert_close(found[1], frames[1, :3])


@torch.no_grad()
@pytest.mark.parametrize("samples", [1_600, 16_000, 17_777])
def test_a_prompt_is_read_coarsely_and_an_insertion_frame_by_frame(policy, samples):
    coarse, fine = (tensors([noise(samples)]) for tensors in (policy.audio_tensors, policy.excerpt_tensors))
    many, (count,) = policy.audio_embeds(fine)
    few, (fewer,) = policy.audio_embeds(coarse)
    length = torch.tensor([samples])
    assert (policy.excerpt_token_counts(length), policy.audio_token_counts(length)) == (count, fewer)
    assert fewer == -(-int(count) // COARSE)
    torch.testing.assert_close(few[0, 0], many[0, : min(COARSE, int(count))].mean(0), atol=1e-5, rtol=1e-5)


def test_a_clip_at_another_rate_than_its_placeholders_is_refused(policy, clips):
    prompts = policy.encode_prompts(["Listen."], [clips[0].waveform], ["a"])
    fine = replace(prompts, audio=dict(policy.excerpt_tensors([clips[0].waveform])))
    with pytest.raises(ValueError, match=r"audio frames for .* placeholders"):
        policy.prompt_embeds(fine)


def test_the_rate_is_part_of_the_folder_and_may_be_set(policy, coarse_policy_dir, tmp_path, tiny_policy_dir):
    policy.save(tmp_path / "saved")
    assert Qwen2Audio(str(tmp_path / "saved")).load().first_pass_pooling == COARSE
    finer = Qwen2Audio(str(coarse_policy_dir), first_pass_pooling=2).load()
    finer.save(tmp_path / "finer")
    assert finer.first_pass_pooling == 2 == Qwen2Audio(str(tmp_path / "finer")).load().first_pass_pooling
    plain = Qwen2Audio(str(tiny_policy_dir)).load()
    assert plain.first_pass_pooling == 1 and "pooling" not in plain.audio_tensors([noise(16_000)])


@pytest.mark.parametrize("pooling", [0, -1])
def test_what_is_no_number_of_frames_is_refused(pooling, tiny_policy_dir):
    with pytest.raises(ValueError, match=f"first_pass_pooling={pooling} must be a whole number of audio frames"):
        Qwen2Audio(str(tiny_policy_dir), first_pass_pooling=pooling)


def test_the_command_builds_it_for_the_family_that_has_it(smoke_corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["build", "tiny-model", "--manifest", str(smoke_corpus / "sft.jsonl"), "--first-pass-pooling", "8"]
    assert main([*words, "--layers", "1", "--tower-layers", "1", "--out", "coarse"]) == 0
    assert Qwen2Audio("coarse").load().first_pass_pooling == 8
    assert main([*words, "--family", "qwen25_omni", "--out", "omni"]) != 0
    assert "--family qwen25_omni has no --first-pass-pooling" in capsys.readouterr().err
