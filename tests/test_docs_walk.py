"""docs/walk.md, word for word: forty sound files, questions and a reward become a trained policy."""

import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cogrl.cli.main import main

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "walk.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


def ask(folder: Path, number: int) -> dict:
    """A clip of a low and a high tone, in one order or the other, and the page's question about it."""
    first = ("low", "high")[number % 2]
    pitches = (200, 800) if first == "low" else (800, 200)
    tones = [np.sin(2 * np.pi * (pitch + number) * np.arange(11_025) / 22_050) / 3 for pitch in pitches]
    soundfile.write(folder / "clips" / f"{number}.wav", np.concatenate(tones), 22_050)
    (line,) = blocks("json")
    return json.loads(line) | {"id": f"q{number}", "audio": f"clips/{number}.wav", "answer": first}


@pytest.fixture
def walk(tmp_path, monkeypatch):
    """The user's folder: what the page says to write, and nothing else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "clips").mkdir()
    lines = [json.dumps(ask(tmp_path, number)) for number in range(40)]
    (tmp_path / "questions.jsonl").write_text("\n".join(lines) + "\n")
    for block in (*blocks("python"), *blocks("yaml")):
        name = re.match(r"# (\S+)", block)[1]
        (tmp_path / name).write_text(block)
        monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)  # of another page
    return tmp_path


def test_the_commands_of_the_page_are_ones_that_there_are(walk, capsys):
    build, fit, evaluate = (shlex.split(line)[1:] for block in blocks("bash") for line in block.splitlines())
    with pytest.raises(SystemExit) as stop:
        main([*fit, "--print_config"])
    assert not stop.value.code and "class_path: cogrl.stages" in capsys.readouterr().out
    assert main(build) == 0
    assert main(evaluate) == 2 and "runs/grpo_qa/export" in capsys.readouterr().err  # what `fit` has not made yet


@pytest.mark.slow
def test_the_page_leads_from_forty_clips_to_a_trained_and_measured_policy(walk, capsys):
    commands = [line for block in blocks("bash") for line in block.splitlines()]
    assert [shlex.split(command)[1] for command in commands] == ["build", "fit", "evaluate"]
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0, command
    before, after = (
        json.loads((walk / "report" / "report.json").read_text())["policies"][name] for name in ("before", "after")
    )
    assert before["choice_accuracy"]["n"] == after["choice_accuracy"]["n"] == 40
    rollouts = [json.loads(line) for path in walk.glob("runs/grpo_qa/rollouts/*.jsonl") for line in path.open()]
    assert len(rollouts) == 8 * 8 and {row["format"] for row in rollouts} == {"choice"}
    wrong = [-0.01 * len(row["completion"].split()) for row in rollouts]  # what a random model says is never right
    assert [row["reward"] for row in rollouts] == pytest.approx(wrong, abs=1e-6)
    assert (walk / "runs/grpo_qa/export/model.safetensors").read_bytes() != (
        walk / "models/tiny/model.safetensors"
    ).read_bytes()
