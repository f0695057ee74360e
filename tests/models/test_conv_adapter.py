"""The convolutional adapter in place of the projector: tokens of a clip alone, what learns, what is saved."""

import numpy as np
import pytest
import torch
from format_instructions import INSTRUCTIONS
from torch import nn
from torch.nn.functional import gelu

from cogrl.models.conv_adapter import AdapterSettings, ConvAdapter
from cogrl.models.emotion import EmotionSettings
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.saved import saved_policy
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling

SMALL = AdapterSettings(layers=2, bottleneck=8)


@pytest.fixture
def build(tiny_policy_dir, emotion_dir):
    """A loaded policy with a new adapter, with the emotion module unless `emotion=None`."""

    module = EmotionSettings(str(emotion_dir))

    def policy(adapter=SMALL, emotion=module, path=None, **kwargs):
        torch.manual_seed(0)
        return Qwen2Audio(path or str(tiny_policy_dir), emotion=emotion, adapter=adapter, **kwargs).load()

    return policy


def logprobs(policy, clips):
    names = [clip.example.id for clip in clips]
    prompts = policy.encode_prompts([INSTRUCTIONS["direct"]] * len(clips), [clip.waveform for clip in clips], names)
    targets = policy.encode_targets([clip.example.targets["direct"] for clip in clips])
    return policy.token_logprobs(prompts, targets).logprobs, targets.mask


@torch.no_grad()
def test_tokens_are_those_of_the_layers_written_out():
    """Each layer halves the frames; the gate is the second half of a convolution's outputs."""
    torch.manual_seed(0)
    adapter, frames = ConvAdapter(SMALL, inputs=6, width=4), torch.randn(1, 11, 6)
    tokens, counts = adapter(frames, torch.tensor([11]))
    expected = frames
    for convolution in adapter.convolutions:
        padded = nn.functional.pad(expected, (0, 0, 2, 2))
        rows = [
            (padded[0, 2 * i : 2 * i + 5].T[None] * convolution.weight).sum((1, 2)) + convolution.bias
            for i in range(-(-expected.shape[1] // 2))
        ]
        both = torch.stack(rows)[None]
        expected = both[..., :4] * torch.sigmoid(both[..., 4:])
    expected = adapter.norm(expected + adapter.up(gelu(adapter.down(expected))))
    assert counts.tolist() == [3] == adapter.counts(torch.tensor([11])).tolist()
    assert torch.allclose(tokens, expected, atol=1e-5)


@torch.no_grad()
def test_placeholders_are_as_many_as_tokens_and_a_clip_does_not_depend_on_its_company(build, clips):
    policy = build()
    waveforms = [clip.waveform for clip in clips]
    samples = torch.tensor([len(waveform) for waveform in waveforms])
    tokens, counts = policy.audio_embeds(policy.audio_tensors(waveforms))
    assert counts.tolist() == policy.audio_token_counts(samples).tolist()
    plain = Qwen2Audio(policy.path).load().audio_token_counts(samples)
    assert counts.tolist() == [(n + 3) // 4 for n in plain.tolist()] and len(set(counts.tolist())) > 1
    for i, waveform in enumerate(waveforms):
        alone, _ = policy.audio_embeds(policy.audio_tensors([waveform]))
        assert torch.allclose(tokens[i, : counts[i]], alone[0, : counts[i]], atol=1e-5)


@torch.no_grad()
def test_the_embedding_reaches_every_token_through_the_adapter(build, clips):
    policy = build()
    audio = policy.audio_tensors([clip.waveform for clip in clips])
    tokens, counts = policy.audio_embeds(audio)
    other, _ = policy.audio_embeds(audio | {"emotion": audio["emotion"].flip(0)})
    moved = (tokens - other).abs().amax(-1)
    assert all((moved[i, :count] > 1e-4).all() for i, count in enumerate(counts.tolist()))
    policy.emotion.projection.weight.normal_()  # which belongs to the projector that is not used
    assert torch.equal(policy.audio_embeds(audio)[0], tokens)


@torch.no_grad()
def test_sampling_and_scoring_hear_the_same(build, clips):
    policy = build()
    policy.lm_head_weight.mul_(30)  # a random head is nearly uniform: nothing would differ
    sampled = HFEngine().sample(policy, clips, ["direct"] * len(clips), Sampling(max_new_tokens=5), group_size=2)
    scored = policy.token_logprobs(sampled.prompts, sampled.completions, group_size=2).logprobs
    mask = sampled.completions.mask
    assert torch.allclose(scored[mask], sampled.sampling_logprobs[mask], atol=1e-4)


def test_the_adapter_learns_and_what_it_takes_the_place_of_does_not(build, clips):
    policy = build(train_audio_tower=False, train_language_model=False)
    trained = {name for name, parameter in policy.named_parameters() if parameter.requires_grad}
    assert trained and all(name.startswith("adapter.") for name in trained)
    values, mask = logprobs(policy, clips)
    values[mask].mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in policy.adapter.parameters())


@torch.no_grad()
def test_the_saved_adapter_is_read_back_whether_it_is_asked_for_or_not(build, clips, tmp_path):
    policy = build()
    before, _ = logprobs(policy, clips)
    policy.save(tmp_path / "export")
    for reloaded in (
        build(None, EmotionSettings(), str(tmp_path / "export")),
        build(SMALL, EmotionSettings(), str(tmp_path / "export")),
        saved_policy(str(tmp_path / "export")),
    ):
        assert torch.allclose(logprobs(reloaded, clips)[0], before, atol=1e-5)


def test_an_adapter_of_another_size_or_other_frames_is_refused(build, tmp_path):
    build(emotion=None).save(tmp_path / "export")
    with pytest.raises(ValueError, match=r"policy.adapter=.*layers=3.* is not that of .*layers=2"):
        build(AdapterSettings(layers=3, bottleneck=8), None, str(tmp_path / "export"))
    with pytest.raises(ValueError, match=r"takes frames of .* values, encoder and emotion module make"):
        build(None, path=str(tmp_path / "export"))
    with pytest.raises(ValueError, match="both must be at least 1"):
        AdapterSettings(layers=0)


def test_an_adapter_and_a_coarse_first_pass_are_not_taken_together(coarse_policy_dir):
    with pytest.raises(ValueError, match="leave first_pass_pooling at 1"):
        Qwen2Audio(str(coarse_policy_dir), adapter=SMALL).load()


@torch.no_grad()
def test_the_shortest_clip_is_one_token(build):
    policy, short = build(), np.full(1_600, 0.1, np.float32)
    tokens, counts = policy.audio_embeds(policy.audio_tensors([short]))
    assert counts.tolist() == [1] == policy.audio_token_counts(torch.tensor([1_600])).tolist()
    prompts = policy.encode_prompts([INSTRUCTIONS["direct"]], [short], ["short"])
    assert tokens.isfinite().all() and policy.prompt_embeds(prompts).isfinite().all()
