"""Folders of models that are not there, or not whole: said at once, as `fit` says it, without a look at any network."""

import json
import shutil
import socket
from pathlib import Path

import pytest

from cogrl.cli.main import main

HUB = "Qwen/Qwen2-Audio-7B-Instruct"


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """The hosts that were asked for; there is no network to ask."""
    hosts: list[str] = []

    def refuse(host, *rest, **named):
        hosts.append(str(host))
        raise OSError("no network here")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return hosts


@pytest.fixture
def clip(smoke_corpus) -> str:
    first = json.loads((smoke_corpus / "test.jsonl").read_text().splitlines()[0])
    return str(smoke_corpus / first["audio"])


@pytest.fixture
def complaint(command, clip, smoke_corpus, workdir, asked, capsys):
    """`complaint("generate", folder)`: what the command says of a folder; nothing else is to have happened by then."""

    def said(name: str, folder: str | Path) -> str:
        data = str(smoke_corpus / "test.jsonl")
        args = {
            "generate": ["generate", clip, "--policy", str(folder)],
            "evaluate": ["evaluate", "--policy", str(folder), "--data", data, "--out", "report", "--draws", "0"],
            "epitome": ["epitome", "train", "--mechanism", "ER", "--data", "nowhere.csv", "--base", str(folder)],
            "fit": command("fit", f"--model.policy.path={folder}", "--data.train=nowhere.jsonl"),
            "test": command("test", f"--model.policy.path={folder}", "--data.test=nowhere.jsonl"),
        }[name]
        assert main(args) == 2
        out, err = capsys.readouterr()
        option = {"epitome": "--base", "fit": "policy.path", "test": "policy.path"}.get(name, "--policy")
        assert err.splitlines()[-1].startswith(f"cogrl: error: {option}={str(folder)!r}")
        assert len(err.splitlines()) == 1 and "answering" not in out
        assert asked == []
        return err

    return said


ALL = ("generate", "evaluate", "epitome", "fit", "test")


@pytest.mark.parametrize("name", ALL)
def test_a_name_of_the_hub_is_answered_with_how_to_download_it(complaint, name):
    text = complaint(name, HUB)
    assert "cogrl reads local folders" in text
    assert f"hf download {HUB} --local-dir models/Qwen2-Audio-7B-Instruct" in text


@pytest.mark.parametrize("name", ALL)
def test_a_folder_that_is_missing_is_said_at_once(complaint, name):
    text = complaint(name, "models/tiny")
    assert "holds no config.json" in text and "cogrl build tiny-model" in text and "hf download" not in text


@pytest.mark.parametrize("name", ALL)
def test_a_file_in_place_of_its_folder_is_answered_with_the_folder(complaint, tiny_policy_dir, name):
    assert f"is a file; give the folder it lies in, '{tiny_policy_dir}'" in complaint(
        name, tiny_policy_dir / "model.safetensors"
    )


@pytest.mark.parametrize("name", ALL)
def test_a_run_folder_in_place_of_its_export_is_answered_with_the_export(complaint, workdir, name):
    (workdir / "runs" / "sft" / "export").mkdir(parents=True)
    (workdir / "runs" / "sft" / "export" / "config.json").write_text("{}")
    assert "did you mean 'runs/sft/export'?" in complaint(name, "runs/sft")


@pytest.fixture
def copied(tiny_policy_dir, workdir):
    """A whole policy to take something out of."""
    return Path(shutil.copytree(tiny_policy_dir, workdir / "copy"))


def without(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).unlink()
    return folder


@pytest.mark.parametrize("name", ["generate", "evaluate", "fit"])
def test_missing_files_of_a_policy_are_named(complaint, copied, name):
    texts = [complaint(name, without(copied, "processor_config.json"))]
    texts.append(complaint(name, without(copied, "tokenizer.json")))
    (copied / "model.safetensors").rename(copied / "part-1.safetensors")
    texts.append(complaint(name, copied))
    index = {"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}
    (copied / "model.safetensors.index.json").write_text(json.dumps(index))
    for needed in ("tokenizer.json", "processor_config.json"):
        (copied / needed).touch()
    texts.append(complaint(name, copied))
    (copied / "part-2.safetensors").touch()
    texts.append(complaint(name, copied))
    assert "its processor_config.json is cut" in texts[4]
    assert "holds none of processor_config.json, preprocessor_config.json" in texts[0]
    assert "holds none of tokenizer.json" in texts[1]
    assert "holds none of model.safetensors, " in texts[2]
    assert "lacks part-2.safetensors, 1 of 2 parts of the weights" in texts[3]


@pytest.mark.parametrize("name", ALL)
def test_a_torn_config_and_adapters_alone_are_told_apart(complaint, copied, name):
    (copied / "config.json").write_text('{"model_type": "qwe')
    assert "its config.json is no JSON" in complaint(name, copied)
    (copied / "config.json").rename(copied / "adapter_config.json")
    assert "it holds adapters alone; merge them" in complaint(name, copied)


def test_the_second_policy_is_looked_at_before_the_first_answers(workdir, tiny_policy_dir, smoke_corpus, asked, capsys):
    policies = ["--policy", str(tiny_policy_dir), "--policy", f"big={HUB}"]
    assert main(["evaluate", *policies, "--data", str(smoke_corpus / "test.jsonl"), "--out", "report"]) == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"cogrl: error: --policy='{HUB}'") and "answering" not in out


def test_the_default_base_of_the_classifiers_is_a_folder_with_a_way_to_get_it(workdir, asked, capsys):
    assert main(["epitome", "train", "--mechanism", "ER", "--data", "nowhere.csv"]) == 2
    text = capsys.readouterr().err
    assert "--base='models/roberta-base' does not exist" in text
    assert "hf download FacebookAI/roberta-base --local-dir models/roberta-base" in text
    assert asked == []


def test_another_model_than_roberta_is_no_base(workdir, tiny_policy_dir, capsys):
    args = ["epitome", "train", "--mechanism", "ER", "--data", "nowhere.csv", "--base", str(tiny_policy_dir)]
    assert main(args) == 2
    assert "holds a model of type 'qwen2_audio', not RoBERTa" in capsys.readouterr().err


def test_an_emotion_encoder_that_is_not_there_is_said_before_any_data(command, capsys):
    args = command("fit", "--model.policy.emotion.encoder=nowhere", "--data.train=no.jsonl", policy="tiny_emotion")
    assert main(args) == 2
    assert "nowhere holds no emotion encoder" in capsys.readouterr().err


def test_a_clip_that_is_not_there_is_said_before_any_weights_are_read(workdir, asked, capsys):
    assert main(["generate", "nowhere.wav", "--policy", HUB]) == 2
    assert capsys.readouterr().err.startswith("cogrl: error: nowhere.wav: no such audio file")


@pytest.mark.parametrize("name", ["evaluate", "bench"])
def test_an_output_folder_that_is_a_file_is_refused_with_its_option(workdir, tiny_policy_dir, capsys, name):
    (workdir / "report").write_text("")
    args = {
        "evaluate": ["evaluate", "--policy", str(tiny_policy_dir), "--data", "nowhere.jsonl"],
        "bench": ["bench", "policy_loss", "--tokens", "4"],
    }[name]
    assert main([*args, "--out", "report"]) == 2
    text = capsys.readouterr().err
    assert text.startswith("cogrl: error: --out report can not be made a folder") and "choose another" in text
