"""Models without a file of their own: which are read, and what others are refused for."""

import json
import shutil

import pytest
import torch
import transformers

from cogrl.models.any_audio_lm import AnyAudioLM, class_of, refuse_unlike

TEXT = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 400},
    **{"num_attention_heads": 4, "num_key_value_heads": 2},
}
TOWER = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2},
    **{"num_mel_bins": 16, "max_source_positions": 200},
}
GRANITE = {
    "text_config": {"model_type": "granite", **TEXT},
    "encoder_config": {"input_dim": 16, "num_layers": 2, "hidden_dim": 32, "num_heads": 2},
    "projector_config": {
        **{"model_type": "blip_2_qformer", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2},
        **{"intermediate_size": 32, "encoder_hidden_size": 32},
    },
}
MUSIC = {
    "text_config": {"model_type": "qwen2", **TEXT},
    "audio_config": {"model_type": "audioflamingo3_encoder", **TOWER},
}
OTHERS = {
    "GraniteSpeechForConditionalGeneration": (GRANITE, "has no model.audio_tower"),
    "Phi4MultimodalForCausalLM": ({"pad_token_id": 0, **TEXT}, "has no model.audio_tower"),
    "Gemma4ForConditionalGeneration": ({}, "has no model.multi_modal_projector"),
    "MusicFlamingoForConditionalGeneration": (MUSIC, "reads a clip together with the prompt it stands in"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_models_with_other_parts_are_refused_by_what_they_lack(name):
    settings, reason = OTHERS[name]
    kind = getattr(transformers, name)
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        model = kind(kind.config_class(**settings))
    with pytest.raises(ValueError, match=f"policy.path='x': {name} {reason}"):
        refuse_unlike("x", model)


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("final_logit_softcapping", 30.0, "caps its logits"),
        ("logits_scaling", 8.0, "scales its logits"),
        ("hidden_size_per_layer_input", 256, "reads token ids in every layer"),
    ],
)
def test_log_probs_of_another_making_are_refused(make_policy, setting, value, reason):
    """Gemma 3n has the first and the last, Granite the second."""
    model = make_policy("qwen3_asr").model
    setattr(model.config.text_config, setting, value)
    with pytest.raises(ValueError, match=f"{reason}.*its log-probs would be wrong here"):
        refuse_unlike("x", model)


def test_what_gemma_and_granite_do_by_default_is_what_is_refused():
    gemma = transformers.Gemma3nTextConfig()
    assert gemma.final_logit_softcapping == 30.0 and gemma.hidden_size_per_layer_input > 0


@torch.no_grad()
def test_granites_frames_depend_on_what_else_is_in_the_batch():
    """Its encoder takes no mask, so that a clip padded to a longer one is another clip."""
    torch.manual_seed(0)
    kind = transformers.GraniteSpeechForConditionalGeneration
    model = kind(transformers.GraniteSpeechConfig(**GRANITE)).eval()
    mels = torch.randn(1, 60, 16)
    alone = model.get_audio_features(mels).pooler_output[0]
    padded = model.get_audio_features(torch.nn.functional.pad(mels, (0, 0, 0, 60))).pooler_output[0]
    assert (padded[: len(alone)] - alone).abs().max() > 1e-5  # a hundred times the rounding, of weights near zero


def test_a_type_that_was_not_tested_is_read_when_asked(family_dir, tmp_path):
    folder = shutil.copytree(family_dir("voxtral"), tmp_path / "other")
    with pytest.raises(ValueError, match="holds a model of type 'voxtral', this policy reads qwen3_asr"):
        AnyAudioLM(str(folder)).load()
    asked_for = AnyAudioLM(str(folder), untested=True).load()
    assert type(asked_for.model) is transformers.VoxtralForConditionalGeneration


def test_a_class_that_transformers_lacks_is_named(family_dir, tmp_path):
    folder = shutil.copytree(family_dir("qwen3_asr"), tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["EarsForCausalLM"]}))
    with pytest.raises(ValueError, match=r"names EarsForCausalLM under architectures, which transformers .* not have"):
        class_of(str(folder))
