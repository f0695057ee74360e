"""Through `cogrl fit`: the earlier turns of a dialogue are heard, left out on purpose, or the run is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cogrl.audio import write_flac
from cogrl.cli.main import main
from cogrl.data.recipes.ieat import build_ieat
from cogrl.data.recipes.ieat_plan import Split
from cogrl.models.qwen2_audio import Qwen2Audio


@pytest.fixture
def dialogues(smoke_corpus, tmp_path):
    corpus = shutil.copytree(smoke_corpus, tmp_path / "corpus")
    records = [json.loads(line) for line in (corpus / "sft.jsonl").read_text().splitlines()]
    for record in records:
        record["turns"] = [{"text": "Well.", "audio": records[0]["audio"], "reply": "Go on."}]
    (corpus / "sft.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(corpus / "sft.jsonl")


def refused(command, dialogues, workdir, capsys, *flags, **parts):
    assert main(command("fit", f"--data.train={dialogues}", *flags, **parts)) == 2
    assert not (workdir / "run" / "checkpoints").exists()
    return capsys.readouterr().err


def test_turns_nobody_has_decided_about_are_refused_before_training(command, dialogues, workdir, capsys):
    reason = "has 1 earlier turns, as 28 of 28 lines do; set data.history"
    assert reason in refused(command, dialogues, workdir, capsys)


def test_a_stage_that_hears_single_clips_refuses_them(command, dialogues, workdir, capsys):
    said = refused(command, dialogues, workdir, capsys, "--data.history=heard", stage="perceive")
    assert f"{dialogues}:1 (" in said and "no earlier turns; set data.history: left_out" in said


def test_perception_refuses_lines_without_an_emotion_before_training(command, dialogues, workdir, capsys):
    lines = [json.loads(line) for line in Path(dialogues).read_text().splitlines()]
    del lines[4]["emotion"]
    Path(dialogues).write_text("\n".join(map(json.dumps, lines)))
    said = refused(command, dialogues, workdir, capsys, "--data.history=left_out", stage="perceive")
    assert f"{dialogues}:5 ({lines[4]['id']}): no emotion, which is what this stage teaches" in said


def test_evaluation_refuses_lines_without_an_emotion_before_anything_is_answered(
    dialogues, tiny_policy_dir, workdir, capsys
):
    lines = [json.loads(line) for line in Path(dialogues).read_text().splitlines()]
    del lines[4]["emotion"]
    Path(dialogues).write_text("\n".join(map(json.dumps, lines)))
    flags = ["--policy", str(tiny_policy_dir), "--data", dialogues, "--history", "left_out", "--out", "report"]
    assert main(["evaluate", *flags]) == 2
    assert f"{dialogues}:5 ({lines[4]['id']}): no emotion, as 1 of 28 lines have none" in capsys.readouterr().err


def test_an_earlier_turn_too_long_for_the_policy_is_refused_before_training(command, dialogues, workdir, capsys):
    lines = Path(dialogues).read_text().splitlines()
    third = json.loads(lines[2])
    third["turns"][0]["audio"] = "long.flac"
    write_flac(Path(dialogues).with_name("long.flac"), np.sin(np.arange(5 * 16_000, dtype=np.float32)) / 2, 16_000)
    Path(dialogues).write_text("\n".join([*lines[:2], json.dumps(third), *lines[3:]]))
    flags = ("--data.history=heard", "--data.max_s=30")
    said = refused(command, dialogues, workdir, capsys, *flags)
    assert f"{dialogues}:3 ({third['id']}): turn 1: 5.00 s of audio; this model hears 0.1 to 4 s" in said
    assert main(command("fit", f"--data.train={dialogues}", "--data.history=left_out", "--data.max_s=30")) == 0


@pytest.fixture(scope="module")
def ieat(tmp_path_factory):
    plan = (Split("train", (0, 0), (0, 0)), Split("val", (18, 18), (7, 7)), Split("test", (20, 20), (9, 9)))
    return build_ieat(tmp_path_factory.mktemp("ieat") / "corpus", "smoke", workers=1, plan=plan).out


@pytest.mark.parametrize(
    ("stage", "formats"),
    [("sft", "{ieat: 0.5, direct: 0.5}"), ("distill", "{ieat: 0.5, direct: 0.5}"), ("dr_sapo", "")],
)
def test_dialogues_with_thoughts_train_with_their_history_heard(command, ieat, workdir, monkeypatch, stage, formats):
    encoded = []
    encode = Qwen2Audio.audio_tensors
    monkeypatch.setattr(Qwen2Audio, "audio_tensors", lambda self, w: encoded.append(len(w)) or encode(self, w))
    splits = [f"--data.{split}={ieat / split}.jsonl" for split in ("train", "val", "test")]
    flags = [f"--model.formats={formats}"] if formats else []
    assert main(command("fit", *splits, *flags, stage=stage, data="ieat_mini")) == 0
    assert encoded and all(count % 3 == 0 for count in encoded) and encoded[0] == 12  # 4 dialogues of three turns


def test_turns_left_out_on_purpose_train_the_last_one(command, dialogues, workdir):
    assert main(command("fit", f"--data.train={dialogues}", "--data.history=left_out")) == 0
