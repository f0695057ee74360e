"""Expected responses: what a model that reads words and emotion replies, and which replies become targets."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from cogrl.cli.build.responses import replies, wrong
from cogrl.cli.main import main
from cogrl.data.manifest import read_manifest, write_manifest
from cogrl.formats import format_named
from cogrl.model_input import describe
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.saved import saved_policy
from cogrl.stages import Sft
from cogrl.types import Clip, ClipBatch

SAID = {"anger": "That is not fair.", "happy": "How nice!", "sad": "I am sorry.", "surprise": "Oh!"}


@pytest.fixture(scope="module")
def reader(tiny_policy_dir, smoke_corpus, tmp_path_factory):
    """A folder with a policy that replies to one line of each of four emotions as `SAID`, when it reads the line."""
    torch.manual_seed(0)
    policy = Qwen2Audio(str(tiny_policy_dir)).load()
    lines = read_manifest(smoke_corpus / "sft.jsonl")
    text = lines[0].text
    known = [next(e for e in lines if e.text == text and e.emotion == emotion) for emotion in SAID]
    clips = [Clip(replace(e, targets={"direct": SAID[e.emotion]}), np.zeros(0, np.float32)) for e in known]
    stage = Sft(policy, formats={"direct": 1.0}, reads="description")
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-2)
    for _ in range(80):
        loss = stage.loss(ClipBatch(clips), ["direct"] * len(clips))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    folder = tmp_path_factory.mktemp("reader") / "export"
    policy.save(folder)
    return folder, known


def manifest(folder, examples):
    write_manifest(folder / "given.jsonl", examples)
    return str(folder / "given.jsonl")


def test_the_targets_are_what_the_model_replies_to_words_and_emotion(reader, tmp_path, capsys):
    policy, known = reader
    given = manifest(tmp_path, known)
    words = ["build", "responses", "--policy", str(policy), "--manifest", given, "--out", str(tmp_path / "o.jsonl")]
    assert main(words) == 0
    found = read_manifest(tmp_path / "o.jsonl")
    assert {e.emotion: dict(e.targets) for e in found} == {name: {"direct": said} for name, said in SAID.items()}
    assert [(e.id, e.audio.resolve(), e.text) for e in found] == [(e.id, e.audio, e.text) for e in known]
    assert "4 lines with 4 different replies, 0 left out" in capsys.readouterr().out
    assert (tmp_path / "o.jsonl.rejected.jsonl").read_text() == ""
    before = (tmp_path / "given.jsonl").read_text()
    assert main([*words[:-1], given]) == 2 and "would replace the manifest" in capsys.readouterr().err
    assert (tmp_path / "given.jsonl").read_text() == before


def test_a_reply_that_is_cut_is_left_out_with_its_reason(reader, tmp_path):
    policy, known = reader
    words = ["build", "responses", "--policy", str(policy), "--manifest", manifest(tmp_path, known)]
    lengths = [len(saved_policy(str(policy)).encode_targets([said]).ids[0]) for said in SAID.values()]
    assert min(lengths) < max(lengths)
    assert main([*words, "--out", str(tmp_path / "o.jsonl"), "--max-new-tokens", str(min(lengths))]) == 0
    left = {e.emotion for e in read_manifest(tmp_path / "o.jsonl")}
    rejected = [json.loads(line) for line in (tmp_path / "o.jsonl.rejected.jsonl").read_text().splitlines()]
    assert left and rejected and len(left) + len(rejected) == 4
    assert {line["reason"] for line in rejected} == {"cut before it ended"}
    assert main([*words, "--out", str(tmp_path / "p.jsonl"), "--max-new-tokens", "1"]) == 2
    assert not (tmp_path / "p.jsonl").exists()


def test_lines_of_one_description_are_asked_once(reader):
    policy, (line, *_) = reader
    found = replies(saved_policy(str(policy)), [line, line, line], "direct", 48)
    assert found == [(SAID[line.emotion], None)] * 3


@pytest.mark.parametrize(
    ("text", "finish", "reason"),
    [
        ("I am so sorry.", "end", None),
        ("I am so sorry.", "length", "cut before it ended"),
        ("", "end", "not well formed in format direct"),
        ("<thought>sad", "end", "not well formed in format direct"),
        ("As an AI language model, I have no feelings.", "end", "a refusal"),
        ("I cannot help you with that.", "end", "a refusal"),
        ("I cannot imagine how sad you are.", "end", None),
    ],
)
def test_what_is_no_target(text, finish, reason):
    assert wrong(text, finish, format_named("direct")) == reason


@pytest.mark.parametrize("lacking", [{"text": ""}, {"emotion": None}])
def test_a_line_that_can_not_be_read_is_named(reader, tmp_path, capsys, lacking):
    policy, (line, *rest) = reader
    given = manifest(tmp_path, [replace(line, **lacking), *rest])
    words = ["build", "responses", "--policy", str(policy), "--manifest", given, "--out", str(tmp_path / "o.jsonl")]
    assert main(words) == 2 and f"given.jsonl:1 ({line.id}): no text or no emotion to read" in capsys.readouterr().err


def test_what_the_model_reads_tells_the_emotion_and_the_clip_is_not_decoded(reader, tmp_path):
    policy, known = reader
    absent = [replace(e, audio=tmp_path / "absent.flac") for e in known]
    assert len({describe(e) for e in absent}) == 4
    found = replies(saved_policy(str(policy)), absent, "direct", 48)
    assert [said for said, _ in found] == [SAID[e.emotion] for e in known]
