"""Audio Flamingo 3: what the contract of every family does not say."""

import numpy as np
import torch
from transformers import AudioFlamingo3ForConditionalGeneration, AudioFlamingo3Processor

from cogrl.models.saved import saved_window


@torch.no_grad()
def test_a_clip_of_several_windows_is_read_as_transformers_reads_it(make_policy, family_dir):
    """Their processor cuts it, their model reads it; tokens, mels and logits are those of the policy."""
    policy, folder = make_policy("audio_flamingo"), family_dir("audio_flamingo")
    wave = np.random.default_rng(0).normal(size=150_000).astype(np.float32)  # 4 + 4 + 1.375 s
    prompts = policy.encode_prompts(["Listen."], [wave], ["a"])
    text = policy.tokenizer.decode(prompts.input_ids[0]).replace("<sound>" * 234, "<sound>")
    theirs = AudioFlamingo3Processor.from_pretrained(folder)(text=[text], audio=[wave])
    assert len(theirs["input_features"]) == 3 and torch.equal(theirs["input_ids"], prompts.input_ids)
    plain = AudioFlamingo3ForConditionalGeneration.from_pretrained(folder).eval()
    states = plain.model(**theirs).last_hidden_state
    ours = policy.decoder(inputs_embeds=policy.prompt_embeds(prompts)).last_hidden_state
    torch.testing.assert_close(ours, states, rtol=0, atol=1e-4)


@torch.no_grad()
def test_a_short_clip_beside_a_long_one_is_as_it_is_alone(make_policy):
    policy, rng = make_policy("audio_flamingo"), np.random.default_rng(0)
    waves = [rng.normal(size=n).astype(np.float32) for n in (10_000, 130_000, 64_000)]
    together, lengths = policy.audio_embeds(policy.audio_tensors(waves))
    for i, wave in enumerate(waves):
        alone, own = policy.audio_embeds(policy.audio_tensors([wave]))
        assert own.item() == lengths[i]
        torch.testing.assert_close(together[i, : lengths[i]], alone[0], rtol=0, atol=1e-5)


def test_what_is_heard_is_known_without_the_weights(make_policy, family_dir):
    window = saved_window(str(family_dir("audio_flamingo")))
    assert window == make_policy("audio_flamingo").window and window.longest_s == 80
