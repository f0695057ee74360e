"""A policy's class is that of its folder, and folders that are no whole policy are refused with what to do."""

import json
import shutil
from pathlib import Path

import pytest
from policy_families import FAMILIES

from cogrl.cli.main import main
from cogrl.models.check import check_policy
from cogrl.models.from_folder import FromFolder

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def folder(tiny_policy_dir, tmp_path):
    """A copy of a policy under a name that says nothing."""
    return shutil.copytree(tiny_policy_dir, tmp_path / "Qwen2.5-Omni-7B")


def change(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_class_is_read_from_the_config_and_not_from_the_name(family, family_dir):
    policy = FromFolder(str(family_dir(family)), dtype="bfloat16", train_audio_tower=False)
    assert type(policy) is FAMILIES[family].policy
    assert policy.dtype_name == "bfloat16" and not policy.train_audio_tower
    check_policy(policy)


def test_a_yaml_need_not_name_the_class(folder, capsys):
    files = ("stage/sft", "policy/from_folder", "data/lime_mini_sft", "trainer/cpu")
    configs = [word for file in files for word in ("--config", str(CONFIGS / f"{file}.yaml"))]
    with pytest.raises(SystemExit) as stopped:
        main(["fit", *configs, f"--model.policy.path={folder}", "--print_config"])
    shown = capsys.readouterr().out
    assert stopped.value.code == 0 and "cogrl.models.from_folder.FromFolder" in shown and "share_prompt: true" in shown


def test_another_model_type_is_refused_with_those_that_are_read(folder):
    change(folder / "config.json", model_type="qwen2_vl")
    with pytest.raises(
        ValueError, match=r"holds a model of type 'qwen2_vl', this policy reads qwen2_audio or .*voxtral"
    ):
        FromFolder(str(folder))


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "processor_config.json"])
def test_code_in_a_folder_is_not_run(folder, file):
    change(folder / file, auto_map={"AutoModel": "evil.Model"})
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(
        ValueError, match=rf"its {file} names code of its own \(AutoModel in auto_map\), and cogrl runs no code.*unless"
    ):
        FromFolder(str(folder))


def test_adapters_of_another_base_are_refused_by_its_name(folder):
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "somewhere/else-7B"}))
    with pytest.raises(ValueError, match=r"holds adapters .* of the base model 'somewhere/else-7B'.*merge them"):
        FromFolder(str(folder))


def test_a_missing_processor_file_is_named(folder):
    for name in ("processor_config.json", "preprocessor_config.json"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError, match=r"holds none of processor_config.json, preprocessor_config.json"):
        FromFolder(str(folder))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tokenizer_with_another_audio_token_is_refused(family, family_dir, tmp_path):
    folder = shutil.copytree(family_dir(family), tmp_path / "policy")
    config = json.loads((folder / "config.json").read_text())
    name = next(key for key in ("audio_token_id", "audio_token_index") if key in config)
    change(folder / "config.json", **{name: config[name] + 1})
    with pytest.raises(ValueError, match=rf"audio_token_id is {config[name] + 1}, which should be .* has it as"):
        FromFolder(str(folder)).load()
