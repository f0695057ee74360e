"""Clips are encoded at their own length, and give the frames of the whole window. (E7)"""

import numpy as np
import pytest
import torch
from transformers import Qwen2AudioForConditionalGeneration
from transformers.masking_utils import create_bidirectional_mask

from cogrl.models.qwen2_audio import Qwen2Audio


@pytest.fixture
def policy(tiny_policy_dir):
    return Qwen2Audio(str(tiny_policy_dir)).load().eval()


def noise(samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


@torch.no_grad()
def test_the_frames_are_those_of_the_whole_window(policy):
    waveforms = [noise(samples, samples) for samples in (16_000, 17_777, 40_011, 1_700, 64_000)]
    plain = Qwen2AudioForConditionalGeneration.from_pretrained(policy.path, dtype=torch.float32).eval().model
    tower, extractor = plain.audio_tower, policy.processor.feature_extractor
    settings = {"padding": "max_length", "return_attention_mask": True, "return_tensors": "pt"}
    window = extractor(waveforms, sampling_rate=16_000, **settings)
    frames, _ = tower._get_feat_extract_output_lengths(window.attention_mask.sum(-1))
    blank = window.input_features.new_zeros(len(waveforms), tower.config.max_source_positions, 1)
    real = (torch.arange(blank.shape[1]) < frames[:, None]).long()
    mask = create_bidirectional_mask(config=tower.config, inputs_embeds=blank, attention_mask=real)
    whole = tower(window.input_features, attention_mask=mask).last_hidden_state
    expected = plain.multi_modal_projector(whole)
    found, counts = policy.audio_embeds(policy.audio_tensors(waveforms))
    for mine, theirs, count in zip(found, expected, counts.tolist(), strict=True):
        torch.testing.assert_close(mine[:count], theirs[:count], atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("samples", [1_600, 1_679, 1_680, 8_000, 15_999])
def test_a_short_clip_costs_its_own_length_and_does_not_depend_on_its_batch(policy, samples):
    alone = policy.audio_tensors([noise(samples)])
    assert alone["input_features"].shape[-1] <= samples // 160 + 4
    expected, (count,) = policy.audio_embeds(alone)
    found, counts = policy.audio_embeds(policy.audio_tensors([noise(50_000, 1), noise(samples)]))
    assert counts[1] == count == policy.audio_token_counts(torch.tensor([samples]))
    torch.testing.assert_close(found[1, :count], expected[0, :count], atol=1e-5, rtol=1e-5)
