"""Through `cogrl fit`: a clip or a line that can not be used ends the command before the first step, by name."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cogrl.cli.main import main

SECOND = np.sin(np.arange(16_000) / 20).astype(np.float32) / 4


def wav(path: Path, samples: np.ndarray, rate: int = 16_000) -> None:
    soundfile.write(path, samples, rate, format="WAV", subtype="FLOAT")


AUDIO = {
    "missing": (lambda path: path.unlink(), "no such audio file"),
    "empty": (lambda path: path.write_bytes(b""), "cannot be decoded"),
    "no samples": (lambda path: wav(path, SECOND[:0]), "no samples"),
    "corrupt": (lambda path: path.write_bytes(b"fLaC" + bytes(range(256)) * 4), "cannot be decoded"),
    "stereo": (lambda path: wav(path, np.stack([SECOND, SECOND], 1)), "channel"),
    "44.1 kHz": (lambda path: wav(path, np.tile(SECOND, 3), 44_100), "44100"),
    "too long": (lambda path: wav(path, np.tile(SECOND, 5)), "the limit is 4 s"),
    "not a number": (lambda path: wav(path, np.where(np.arange(16_000) == 99, np.nan, SECOND)), "NaN"),
}


@pytest.fixture
def corpus(smoke_corpus, tmp_path):
    return shutil.copytree(smoke_corpus, tmp_path / "corpus")


def refused(command, corpus, capsys) -> str:
    flags = [f"--data.train={corpus / 'sft.jsonl'}", f"--data.val={corpus / 'val.jsonl'}"]
    assert main(command("fit", *flags)) == 2
    assert not Path("run/checkpoints").exists()
    return capsys.readouterr().err


@pytest.mark.sample(2)
@pytest.mark.parametrize("case", AUDIO)
def test_a_bad_clip_is_refused_with_line_and_id(command, corpus, workdir, capsys, case):
    lines = (corpus / "sft.jsonl").read_text().splitlines()
    record = json.loads(lines[2])
    record.pop("duration_s")  # what the file itself says decides
    lines[2] = json.dumps(record)
    (corpus / "sft.jsonl").write_text("\n".join(lines) + "\n")
    spoil, reason = AUDIO[case]
    spoil(corpus / record["audio"])
    message = refused(command, corpus, capsys)
    assert "sft.jsonl:3" in message and record["id"] in message and reason in message


@pytest.mark.sample(1)
@pytest.mark.parametrize("seconds", [0.05, 10])
def test_a_clip_the_policy_can_not_hear_whole_is_refused_whatever_the_data_section_allows(
    command, corpus, workdir, capsys, seconds
):
    record = json.loads((corpus / "sft.jsonl").read_text().splitlines()[0])
    wav(corpus / record["audio"], np.resize(SECOND, int(16_000 * seconds)))
    record.pop("duration_s")
    lines = [json.dumps(record), *(corpus / "sft.jsonl").read_text().splitlines()[1:]]
    (corpus / "sft.jsonl").write_text("\n".join(lines) + "\n")
    assert main(command("fit", f"--data.train={corpus / 'sft.jsonl'}", "--data.max_s=30")) == 2
    message = capsys.readouterr().err
    assert "sft.jsonl:1" in message and "this model hears 0.1 to 4 s" in message
    assert not Path("run/checkpoints/last.ckpt").exists()


def test_a_test_manifest_that_shares_sentences_with_training_is_refused(command, corpus, workdir, capsys):
    flags = [f"--data.{name}={corpus / 'sft.jsonl'}" for name in ("train", "test")]
    assert main(command("fit", *flags)) == 2
    assert "sft.jsonl:1" in capsys.readouterr().err


def changed(record: dict, **values) -> str:
    return json.dumps(record | values)


LINES = {
    "no JSON": (lambda first, line: line[:-5], "sft.jsonl:2"),
    "unknown emotion": (lambda first, line: changed(json.loads(line), emotion="angry"), "anger"),
    "duplicate id": (lambda first, line: changed(json.loads(line), id=json.loads(first)["id"]), "sft.jsonl:1"),
    "misspelt key": (lambda first, line: changed(json.loads(line), emotoin="sad"), "emotion"),
}


@pytest.mark.sample(1)
@pytest.mark.parametrize("case", LINES)
def test_a_bad_line_is_refused_with_its_number(command, corpus, workdir, capsys, case):
    first, line, *rest = (corpus / "sft.jsonl").read_text().splitlines()
    spoil, reason = LINES[case]
    (corpus / "sft.jsonl").write_text("\n".join([first, spoil(first, line), *rest]) + "\n")
    message = refused(command, corpus, capsys)
    assert "sft.jsonl:2" in message and reason in message


def test_a_sentence_in_two_splits_is_refused_with_both_lines(command, corpus, workdir, capsys):
    first, *_ = (corpus / "sft.jsonl").read_text().splitlines()
    shared = json.loads(first)["text_group"]
    lines = [changed(json.loads(line), text_group=shared) for line in (corpus / "val.jsonl").read_text().splitlines()]
    (corpus / "val.jsonl").write_text("\n".join(lines) + "\n")
    message = refused(command, corpus, capsys)
    assert "text_group" in message and "sft.jsonl:1" in message and "val.jsonl:1" in message
