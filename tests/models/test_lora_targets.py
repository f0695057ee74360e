"""Adapters that have nowhere to go, or must not go there: said from the names of the layers, before weights or data."""

import warnings

import pytest
import torch

from cogrl.cli.main import main
from cogrl.models.check import check_policy, without_weights
from cogrl.models.lora import Lora
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.qwen25_omni import Qwen25Omni

pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
FAMILIES = {"qwen2_audio": (Qwen2Audio, "tiny_policy_dir"), "qwen25_omni": (Qwen25Omni, "tiny_omni_dir")}


@pytest.fixture(params=FAMILIES)
def unread(request):
    """`unread(**settings)`: a tiny policy of each family whose weights have not been read."""
    family, fixture = FAMILIES[request.param]
    folder = str(request.getfixturevalue(fixture))
    return lambda **settings: family(folder, **settings)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"rank": 0}, "lora.rank=0 and lora.alpha=32 must be at least 1"),
        ({"rank": -2}, "lora.rank=-2"),
        ({"alpha": 0}, "lora.alpha=0 must be at least 1"),
        ({"dropout": 1.0}, r"lora.dropout=1.0 must lie in \[0, 1\)"),
        ({"dropout": -0.1}, "lora.dropout=-0.1"),
        ({"targets": ".*(q_proj"}, r"lora.targets='\.\*\(q_proj' is no regular expression: .*position 2"),
        ({"in_full": "*proj"}, r"lora.in_full='\*proj' is no regular expression: nothing to repeat"),
    ],
)
def test_settings_that_make_no_adapter_are_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        Lora(**settings)


def test_a_pattern_that_matches_nothing_is_answered_with_the_nearest_names_and_the_layers(unread):
    with pytest.raises(ValueError, match="matches no layer of this model") as caught:
        check_policy(unread(lora=Lora(targets=r".*language_model.*\.(q_prj|downproj)")))
    said = str(caught.value)
    assert (
        "no name holds 'q_prj' (did you mean 'q_proj'?); no name holds 'downproj' (did you mean 'down_proj'?)" in said
    )
    assert "model.language_model.layers.N.self_attn.v_proj" in said and "layers.0" not in said
    assert "lm_head" not in said


def test_a_pattern_that_is_right_in_part_says_what_it_does_not_reach(unread):
    with pytest.warns(UserWarning, match=r"right for 1 layers, but no name holds 'v_porj' \(did you mean 'v_proj'"):
        check_policy(unread(lora=Lora(targets=r".*language_model.*\.(q_proj|v_porj)")))
    for sound in (Lora().targets, r".*language_model.*_proj", r".*layers\.\d+\.mlp\.(up|down)_proj"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_policy(unread(lora=Lora(targets=sound)))


@pytest.mark.parametrize("targets", ["lm_head", r".*(q_proj|lm_head)"], ids=["alone", "beside others"])
def test_the_output_head_takes_no_adapters_but_trains_in_full(unread, targets):
    with pytest.raises(ValueError, match=r"the output head, which takes no adapters.*train it with in_full: lm_head"):
        check_policy(unread(lora=Lora(targets=targets)))
    with pytest.raises(ValueError, match="the output head"):
        unread(lora=Lora(targets=targets)).load()
    policy = unread(lora=Lora(in_full="lm_head")).load()
    assert policy.lm_head_weight.requires_grad


def test_what_is_no_linear_layer_is_refused_by_name(unread):
    with pytest.raises(
        ValueError, match=r"matches 'model\.language_model\.embed_tokens' \(Embedding\), no linear layer"
    ):
        check_policy(unread(lora=Lora(targets=".*embed_tokens")))
    with pytest.raises(ValueError, match="matches 'the whole model'"):
        check_policy(unread(lora=Lora(targets=".*")))


def test_modules_to_train_in_full_that_do_not_exist_are_answered_with_the_outer_ones(unread):
    with pytest.raises(ValueError, match=r"no name holds 'audio_towr' \(did you mean 'audio_tower'\?\)") as caught:
        check_policy(unread(lora=Lora(in_full=".*audio_towr")))
    assert "model.language_model.layers" in str(caught.value) and "self_attn" not in str(caught.value)


def test_the_layers_are_those_of_the_model_that_is_read_and_looking_at_them_draws_no_number(unread):
    policy = unread()
    state = torch.get_rng_state()
    skeleton = without_weights(policy)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.is_meta for parameter in skeleton.parameters())
    assert policy.model is None
    names = [name for name, _ in skeleton.named_modules()]
    assert names == [name for name, _ in policy.load().model.named_modules()]


def test_adapters_are_looked_at_before_any_data(workdir, tiny_policy_dir, capsys):
    """A manifest that is not there would be the first thing a run stumbles over once it reads data."""
    policy = {"class_path": "cogrl.models.qwen2_audio.Qwen2Audio", "init_args": {"path": str(tiny_policy_dir)}}
    args = ["fit", "--model=Sft", f"--model.policy={policy}", "--data.train=nowhere.jsonl", "--trainer.accelerator=cpu"]
    assert main([*args, "--model.policy.lora.targets=qproj"]) == 2
    assert "lora.targets='qproj' matches no layer of this model; no name holds 'qproj' (did you mean 'q_proj'?)" in (
        capsys.readouterr().err
    )
    assert main([*args, "--model.policy.lora.rank=0"]) == 2
    assert "lora.rank=0" in capsys.readouterr().err
    assert main([*args, "--model.policy.lora.rank=4"]) == 2
    assert "nowhere.jsonl is missing" in capsys.readouterr().err
