"""Qwen2.5-Omni: what the contract of every family does not say."""

import json

import pytest
import torch
from format_instructions import INSTRUCTIONS
from safetensors.torch import load_file, save_file
from transformers import (
    Qwen2_5OmniConfig,
    Qwen2_5OmniForConditionalGeneration,
    Qwen2_5OmniThinkerForConditionalGeneration,
)

from cogrl.models.front_end import AudioFrontEnd
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.qwen25_omni import Qwen25Omni
from cogrl.models.saved import saved_policy

MULTI_AXIS = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 1, 1]}
TALKER = {
    "vocab_size": 32,
    "embedding_size": 32,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "rope_parameters": MULTI_AXIS,
}
VOCODER = {
    "dit_config": {
        **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 8, "ff_mult": 1},
        **{"emb_dim": 8, "mel_dim": 8, "num_embeds": 9, "block_size": 2, "enc_emb_dim": 8, "enc_dim": 8},
        **{"enc_channels": [8, 8, 8, 8, 24], "enc_attention_channels": 8, "enc_se_channels": 8},
    },
    "bigvgan_config": {
        **{"mel_dim": 8, "upsample_initial_channel": 16, "upsample_rates": [2], "upsample_kernel_sizes": [4]},
        **{"resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1, 3, 5]]},
    },
}


@pytest.fixture
def omni(tiny_omni_dir):
    return Qwen25Omni(str(tiny_omni_dir)).load()


@pytest.fixture
def whole_dir(omni, tmp_path):
    """A folder as the published one: thinker, talker and vocoder, and a processor with an image part."""
    config = Qwen2_5OmniConfig(
        thinker_config=omni.model.config.to_dict(), talker_config=TALKER, token2wav_config=VOCODER
    )
    whole, folder = Qwen2_5OmniForConditionalGeneration(config), tmp_path / "whole"
    whole.thinker.load_state_dict(omni.model.state_dict())
    whole.save_pretrained(folder)
    omni.processor.save_pretrained(folder)
    processor = json.loads((folder / "preprocessor_config.json").read_text())
    eyes = {"image_processor_type": "Qwen2VLImageProcessor", "merge_size": 2, "patch_size": 14}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor | eyes))
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").write_text("the tokenizer's own, for text")
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    return folder


def encoded(policy, clips):
    prompts = policy.encode_prompts(
        [INSTRUCTIONS["eips"]] * len(clips), [c.waveform for c in clips], [c.example.id for c in clips]
    )
    return prompts, policy.encode_targets([c.example.targets["eips"] for c in clips])


def logprobs(policy, clips):
    return policy.token_logprobs(*encoded(policy, clips)).logprobs


@torch.no_grad()
def test_the_thinker_of_a_whole_omni_is_read_without_talker_and_vocoder(omni, whole_dir, clips, tmp_path):
    thinker = Qwen25Omni(str(whole_dir)).load()
    assert not any("talker" in name or "token2wav" in name for name, _ in thinker.model.named_modules())
    assert torch.allclose(logprobs(thinker, clips), logprobs(omni, clips), atol=1e-5)
    assert thinker.processor.feature_extractor.image_processor_type == "Qwen2VLImageProcessor"  # for who has eyes

    thinker.save(tmp_path / "export")
    reloaded = saved_policy(str(tmp_path / "export"))
    assert torch.allclose(logprobs(reloaded, clips), logprobs(omni, clips), atol=1e-5)
    plain = Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(tmp_path / "export").state_dict()
    assert all(torch.equal(value, plain[name]) for name, value in thinker.model.state_dict().items())


def test_positions_of_audio_and_text_are_one_place_a_token_on_all_three_axes(omni, clips):
    prompts, _ = encoded(omni, clips)
    mask = prompts.attention_mask
    theirs, _ = omni.model.model.get_rope_index(prompts.input_ids, attention_mask=mask)
    assert theirs.shape[0] == 3
    for axis in theirs:
        assert torch.equal(axis[mask.bool()], (mask.cumsum(1) - 1)[mask.bool()])


def test_mels_are_those_of_the_whole_window(omni, clips):
    """The published processor pads every clip to 300 s; here a batch is as long as its longest clip."""
    waveforms = [clip.waveform for clip in clips]
    found = omni.audio_tensors(waveforms)
    window = omni.processor.feature_extractor(
        waveforms, sampling_rate=16_000, padding="max_length", return_attention_mask=True, return_tensors="pt"
    )
    real = found["feature_attention_mask"].bool()
    expected = window.attention_mask.bool()
    assert real.shape[1] < expected.shape[1] and torch.equal(real.sum(1), expected.sum(1))
    mels, whole = (x.transpose(1, 2) for x in (found["input_features"], window.input_features))
    torch.testing.assert_close(mels[real], whole[expected], rtol=0, atol=1e-5)


def test_the_vision_tower_is_frozen_and_exported(omni, tmp_path):
    assert not any(p.requires_grad for p in omni.model.model.visual.parameters())
    omni.save(tmp_path / "export")
    assert any(name.startswith("visual.") for name in load_file(tmp_path / "export" / "model.safetensors"))


def test_a_folder_of_another_family_is_refused(tiny_policy_dir, tiny_omni_dir, emotion_dir):
    with pytest.raises(ValueError, match="holds a model of type 'qwen2_audio', this policy reads qwen2_5_omni_thinker"):
        Qwen25Omni(str(tiny_policy_dir)).load()
    with pytest.raises(ValueError, match="holds a model of type 'qwen2_5_omni_thinker', this policy reads qwen2_audio"):
        Qwen2Audio(str(tiny_omni_dir)).load()
    with pytest.raises(
        ValueError,
        match="this policy reads qwen2_audio or qwen2_5_omni_thinker or qwen2_5_omni or qwen3_omni_moe_thinker or",
    ):
        saved_policy(str(emotion_dir))


def test_an_export_is_read_as_the_family_it_is(tiny_policy_dir, tiny_omni_dir):
    assert type(saved_policy(str(tiny_policy_dir))) is Qwen2Audio
    assert type(saved_policy(str(tiny_omni_dir))) is Qwen25Omni


def test_missing_weights_are_named_instead_of_drawn_at_random(omni, tmp_path):
    omni.save(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        ValueError, match=r"lacks weights of the thinker: model\.language_model\.norm\.weight and 0 more"
    ):
        Qwen25Omni(str(tmp_path)).load()


def test_an_emotion_module_in_the_folder_is_not_dropped_silently(omni, tmp_path):
    omni.save(tmp_path)
    (tmp_path / "emotion").mkdir()
    with pytest.raises(ValueError, match="emotion module"):
        Qwen25Omni(str(tmp_path)).load()


@pytest.mark.parametrize(("lost", "expected"), [("chat_template", "no chat template"), ("audio", "no audio_token")])
def test_a_tokenizer_that_can_not_speak_of_audio_is_refused(omni, tmp_path, lost, expected):
    omni.processor.save_pretrained(tmp_path)
    if lost == "chat_template":
        (tmp_path / "chat_template.jinja").unlink()
    else:
        config = json.loads((tmp_path / "tokenizer_config.json").read_text())
        kept = {name: value for name, value in config.items() if not name.startswith("audio_token")}
        kept.pop("extra_special_tokens", None)
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(kept))
    with pytest.raises(ValueError, match=expected):
        AudioFrontEnd.from_pretrained(tmp_path)


@torch.no_grad()
def test_the_files_that_transformers_4_wrote_are_read_alike(omni, whole_dir, clips):
    """The published folder is of that time: rotary settings in two keys, special tokens by name, Qwen's tokenizer."""
    config = json.loads((whole_dir / "config.json").read_text())
    text = config["thinker_config"]["text_config"]
    rotary = text.pop("rope_parameters")
    text["rope_theta"] = 1e4
    text["rope_scaling"] = {"mrope_section": rotary["mrope_section"], "rope_type": "default", "type": "default"}
    (whole_dir / "config.json").write_text(json.dumps(config | {"architectures": ["Qwen2_5OmniModel"]}))
    tokens = json.loads((whole_dir / "tokenizer_config.json").read_text())
    named = {name: value for name, value in tokens.items() if name.startswith("audio_")}
    tokens |= {"tokenizer_class": "Qwen2Tokenizer", "extra_special_tokens": named}
    (whole_dir / "tokenizer_config.json").write_text(json.dumps(tokens))
    thinker = Qwen25Omni(str(whole_dir)).load()
    assert thinker.model.config.text_config.rope_parameters["rope_theta"] == 1e4
    assert torch.equal(encoded(thinker, clips)[0].input_ids, encoded(omni, clips)[0].input_ids)
    omni.model.model.language_model.rotary_emb = thinker.model.model.language_model.rotary_emb
    assert torch.allclose(logprobs(thinker, clips), logprobs(omni, clips), atol=1e-5)
