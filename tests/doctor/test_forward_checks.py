"""Policies, engines, rewards and tokenizers that go wrong without any error: seen in what they compute."""

import json
import re
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from cogrl.doctor.tokens import joined_tags
from cogrl.models.tiny import train_tokenizer

MODULE = """
from dataclasses import replace

import torch

from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.rollout.hf import HFEngine


class Cuts(Qwen2Audio):
    def audio_tensors(self, waveforms):
        silenced = [waveform.copy() for waveform in waveforms]
        for waveform in silenced:
            waveform[-3200:] = 0
        return super().audio_tensors(silenced)


class Mixes(Qwen2Audio):
    def audio_embeds(self, audio):
        frames, counts = super().audio_embeds(audio)
        return frames + (len(frames) > 1) * torch.linspace(-1, 1, frames.shape[2]), counts


class Ignores(Qwen2Audio):
    def audio_embeds(self, audio):
        frames, counts = super().audio_embeds(audio)
        return frames * 0 + 0.02 * torch.arange(frames.shape[1])[:, None].cos(), counts


class OnlyUnused(Qwen2Audio):
    def mark_trained(self):
        self.model.requires_grad_(False)
        self.model.unused = torch.nn.Linear(2, 2)


class Hot(HFEngine):
    def complete(self, policy, prompts, sampling, *rest):
        return super().complete(policy, prompts, replace(sampling, temperature=3.0), *rest)


def silence(answer):
    return 0.0 if answer.said else 1.0
"""


def lower_case() -> None:
    path = Path("tiny/tokenizer.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"normalizer": {"type": "Lowercase"}}))


WRONG = {
    "whole clips": (
        ["--model.policy=misbehaving.Cuts", "--model.policy.path=tiny"],
        "0.4 s or more of .* of 4 clips .* the end of its",
    ),
    "batch of one": (["--model.policy=misbehaving.Mixes", "--model.policy.path=tiny"], "another distribution"),
    "sampled and scored": (["--model.engine=misbehaving.Hot"], "rounding in float32 explains 0.0001"),
    "reward": (["--model.reward=misbehaving.silence"], "earns no more than an empty one .*right 0, empty 1"),
    "gradients": (
        ["--model.policy=misbehaving.OnlyUnused", "--model.policy.path=tiny"],
        "reaches none of the 2 tensors",
    ),
    "formats": (lower_case, "do not come back from their tokens"),
}


@pytest.mark.sample(4)
@pytest.mark.parametrize("check", WRONG)
def test_what_raises_no_error_is_seen(doctor, check):
    Path("misbehaving.py").write_text(MODULE)
    flags, words = WRONG[check]
    if callable(flags):
        flags()
        flags = []
    said = doctor(*flags)
    assert said.status == 1
    (found,) = said.of("FAULT")
    assert found.startswith(f"FAULT {check} ") and re.search(words, found), found


def test_a_policy_that_answers_any_clip_alike_is_a_warning(doctor):
    Path("misbehaving.py").write_text(MODULE)
    said = doctor("--model.policy=misbehaving.Ignores", "--model.policy.path=tiny")
    (found,) = (row for row in said.of("warning") if row.startswith("warning another clip "))
    assert "of another clip of the same length" in found


def test_tags_that_the_tokenizer_splits_are_a_warning(doctor):
    lines = [json.loads(line) for line in Path("sft.jsonl").read_text().splitlines()]
    asked = [{"id": line["id"], "audio": line["audio"], "question": "Which?", "answer": "anger"} for line in lines]
    Path("asked.jsonl").write_text("".join(json.dumps(line) + "\n" for line in asked))
    said = doctor("--data.train=asked.jsonl", "--data.val=null", "--model.formats=[think_choice]", stage="grpo_qa")
    assert said.status == 0
    (found,) = (row for row in said.of("warning") if row.startswith("warning formats "))
    assert re.search(r"<think> takes \d tokens", found)


def test_a_tag_that_shares_a_token_with_its_neighbour_is_found():
    tokenizer = train_tokenizer(["loud</b>... <b>low</b>..."] * 50, vocab_size=320)
    assert joined_tags(tokenizer, "<b>low</b>...") == ["</b>"]
    assert joined_tags(tokenizer, "<b>low</b>") == []


def test_a_disk_without_room_is_a_fault(doctor, monkeypatch):
    full = namedtuple("usage", "total used free")(10**9, 10**9, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: full)
    said = doctor()
    assert said.status == 1
    assert "FAULT disk 3 checkpoints of 0.51 MiB and 2 copies of the export of 0.18 MiB" in said.faults


def test_a_missing_accelerator_is_told_and_the_ranks_are_counted(doctor):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has the accelerator")
    said = doctor("--trainer.accelerator=gpu", "--trainer.devices=8", "--device_gib=80", stage="sft")
    assert said.status == 0
    assert "number of ranks to be 8" in " ".join(said.text.split())
    assert "a rank of 8 (" in said.text and "a device has 80.00 GiB" in said.text


def test_fit_runs_the_cheap_half_before_its_first_step(doctor, folder):
    Path("misbehaving.py").write_text(MODULE)
    few = ("--doctor", "--trainer.max_steps=1", "--trainer.logger=false", "--model.group_size=2")
    sound = doctor(*few, command="fit")
    assert sound.status == 0 and "ok special tokens" in " ".join(sound.text.split())
    assert "batch of one" not in sound.text and (folder / "run/export/config.json").is_file()
    wrong = doctor(*few, "--model.reward=misbehaving.silence", "--run_dir=other", command="fit")
    assert wrong.status == 2 and not (folder / "other/export").exists()
    assert not list((folder / "other").glob("rollouts/*"))
