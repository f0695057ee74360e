"""Every command of docs/questions.md, as it stands there, on small inputs."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cogrl.cli.main import main
from cogrl.data.manifest import read_manifest
from cogrl.data.recipes.qa_mini import build as qa_mini
from cogrl.data.recipes.qa_mini.plan import SMOKE

DOC = (Path(__file__).parents[1] / "docs" / "questions.md").read_text()


@pytest.mark.slow
def test_the_commands_of_the_page_run_one_after_the_other(tiny_policy_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(qa_mini._TIERS, "mini", ("numpy", {split: SMOKE[split] for split in ("sft", "rl", "test")}))
    shutil.copytree(tiny_policy_dir, "models/tiny")
    for folder, name, row in (
        ("AVQA", "train.jsonl", {"question_text": "What?", "multi_choice": ["a", "b"], "answer": 1}),
        ("AudioMCQ", "data.jsonl", {"question": "What?", "choices": ["a", "b"], "answer": "b"}),
    ):
        Path(folder).mkdir()
        soundfile.write(f"{folder}/x.wav", np.sin(np.arange(1_600) / 20) / 4, 16_000)
        Path(folder, name).write_text(json.dumps({"id": 1, "audio_path": "x.wav"} | row) + "\n")
    for name in ("clip.wav", "other.wav"):
        shutil.copy("AVQA/x.wav", name)
    commands = [line for block in re.findall(r"```bash\n(.*?)```", DOC, re.S) for line in block.splitlines()]
    names = [*["build"] * 3, "filter", "evaluate", "run", *["generate"] * 2]
    assert [shlex.split(line)[1] for line in commands] == names
    *builds, filtered, evaluated, _, chosen, thought = (shlex.split(line)[1:] for line in commands)
    assert [main(command) for command in builds] == [0, 0, 0]
    assert len(read_manifest(Path("data/qa-mini/rl.jsonl"))) == 80
    assert {example.answer for name in ("avqa", "audiomcq") for example in all_of(Path("data", name))} == {"b"}
    filtered[filtered.index("1")] = "0"  # a random policy answers none
    assert main([*filtered, "--max-new-tokens", "2"]) == 0
    assert json.loads(Path("data/kept.jsonl.report.json").read_text())["asked"] == 80
    assert main([*evaluated, "--max-new-tokens", "2", "--limit", "6"]) == 0
    assert "- rl, asked in think_choice minus in choice: 0.0 " in Path("report/report.md").read_text()
    capsys.readouterr()
    assert main([*chosen, "--max-new-tokens", "2"]) == 0
    assert "choice: none of bell, horn, whistle" in capsys.readouterr().out
    assert main([*thought, "--max-new-tokens", "2"]) == 0
    message = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["audio"] for answer in message] == ["clip.wav", "other.wav"]


def all_of(folder: Path) -> list:
    return [example for path in folder.glob("*.jsonl") for example in read_manifest(path)]


def test_the_line_of_the_page_is_a_line(tmp_path):
    (line,) = re.findall(r"```json\n(.*?)```", DOC, re.S)
    (tmp_path / "q.jsonl").write_text(line)
    (example,) = read_manifest(tmp_path / "q.jsonl")
    assert (example.question, example.choices, example.answer) == ("Which sound comes first?", ("bell", "horn"), "horn")
