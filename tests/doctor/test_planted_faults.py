"""Twelve faults, each planted alone into a run without any: found by the check that is for it, and explained."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import read_lines, write_lines

MODULE = """
from cogrl.models.qwen2_audio import Qwen2Audio


class Frozen(Qwen2Audio):
    def mark_trained(self):
        self.model.requires_grad_(False)


def constant(answer):
    return 1.0
"""


def changed(file: str, **values) -> None:
    """New values of outer keys of a JSON file of the policy."""
    path = Path("tiny") / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def added_tokens(change) -> None:
    """The added tokens of the tokenizer, changed."""
    path = Path("tiny/tokenizer.json")
    settings = json.loads(path.read_text())
    change(settings["added_tokens"])
    path.write_text(json.dumps(settings))


def merged(tokens: list[dict]) -> None:
    tokens[-1] |= {"content": "<|AUDIO|><|AUDIO|>", "special": True, "normalized": False}


def one_more(tokens: list[dict]) -> None:
    tokens.append(tokens[-1] | {"content": "<new>", "id": tokens[-1]["id"] + 1})


def own_module() -> None:
    Path("planted.py").write_text(MODULE)


def an_id_of_text() -> int:
    return json.loads(Path("tiny/tokenizer.json").read_text())["model"]["vocab"]["e"]


def ordinary_end() -> None:
    changed("tokenizer_config.json", eos_token="e")
    changed("generation_config.json", eos_token_id=an_id_of_text())


def deaf_template() -> None:
    file = Path("tiny/chat_template.jinja")
    file.write_text(file.read_text().replace("<|audio_bos|><|AUDIO|><|audio_eos|>", ""))


def long_clip() -> None:
    soundfile.write("long.wav", 0.1 * np.sin(np.arange(5 * 16_000) / 20), 16_000)
    lines = read_lines(Path("sft.jsonl"))
    write_lines(
        Path("sft.jsonl"),
        [*lines, lines[0] | {"id": "long", "audio": str(Path("long.wav").absolute()), "duration_s": 5.0}],
    )


def another_corpus() -> None:
    keys = ("id", "audio", "speaker", "text_group")
    for file in (Path("sft.jsonl"), Path("val.jsonl")):
        extra = {"question": "How many speakers?", "choices": ["one", "two"], "answer": "one"}
        write_lines(file, [{key: line[key] for key in keys} | extra for line in read_lines(file)])


FAULTS = {
    "rate": (
        None,
        ["--data.sampling_rate=8000"],
        "settings",
        "data.sampling_rate=8000, but this policy hears 16000 Hz",
    ),
    "placeholder id": (
        lambda: changed("config.json", audio_token_index=an_id_of_text()),
        [],
        "weights",
        r"audio_token_id is \d+, which should be '<\|AUDIO\|>', and its tokenizer has it as 4",
    ),
    "end token": (ordinary_end, [], "end tokens", r"'e' \(\d+\) ends an answer, but it stands inside .* targets"),
    "template": (deaf_template, [], "audio in the template", r"writes 0 placeholders '<\|AUDIO\|>' for one clip"),
    "adapters": (None, ["--model.policy.lora.targets=.*q_prj"], "policy folder", "did you mean 'q_proj'"),
    "constant reward": (
        own_module,
        ["--model.reward=planted.constant"],
        "reward",
        "is constant .*right 1, empty 1, of another line 1.*every advantage would be 0",
    ),
    "long clip": (long_clip, [], "lines", r"\(long\): 5.00 s of audio; this model hears 0.1 to 4 s"),
    "merged tokens": (
        lambda: added_tokens(merged),
        [],
        "special tokens",
        r"'<\|AUDIO\|>' and '<\|AUDIO\|>' side by side are merged: they are read as '<\|AUDIO\|><\|AUDIO\|>'",
    ),
    "vocabulary": (
        lambda: added_tokens(one_more),
        [],
        "weights",
        "the tokenizer has ids up to 400, the model has 400",
    ),
    "frozen": (
        own_module,
        ["--model.policy=planted.Frozen", "--model.policy.path=tiny"],
        "what trains",
        r"none of the policy's 46,\d+ numbers trains: everything is frozen",
    ),
    "another corpus": (another_corpus, [], "lines", "has a question, which format eips does not ask"),
    "memory": (None, ["--device_gib=0.0001"], "memory of the model", "needs 0.6. MiB: .*; a device has 0.10 MiB"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_explained(doctor, fault):
    plant, flags, check, words = FAULTS[fault]
    if plant:
        plant()
    if fault == "adapters":
        pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    said = doctor(*flags)
    assert said.status == 1
    (found,) = [row for row in said.of("FAULT") if row.startswith(f"FAULT {check} ")]
    assert re.search(words, found), found
