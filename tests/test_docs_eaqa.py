"""Every command of docs/eaqa.md, as it stands there, on small inputs."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from cogrl.cli.main import main
from cogrl.data.manifest import read_manifest
from cogrl.data.recipes.eaqa import mini
from cogrl.data.recipes.eaqa.plan import FULL, MIX, SMOKE
from cogrl.data.recipes.eaqa.sounds import EVENTS

DOC = (Path(__file__).parents[1] / "docs" / "eaqa.md").read_text()


def recordings(folder: Path) -> None:
    """Twelve speakers who say two sentences each, and three sounds."""
    (folder / "speech").mkdir(parents=True)
    tone, noise = np.sin(np.arange(8_000) / 20) / 4, np.random.default_rng(0).standard_normal(8_000) / 8
    names = [f"p{n}-{k}" for n in range(12) for k in range(2)]
    lines = [{"id": n, "audio": f"{n}.wav", "speaker": n[:-2], "text": f"Sentence {n}"} for n in names]
    (folder / "speech/speech.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name in names:
        soundfile.write(folder / f"speech/{name}.wav", tone, 16_000)
    for label in ("bell", "door", "rain"):
        (folder / "sounds" / label).mkdir(parents=True)
        soundfile.write(folder / f"sounds/{label}/1.wav", noise, 16_000)


def test_the_commands_of_the_page_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(mini._TIERS, "mini", {name: replace(part, clips=1) for name, part in SMOKE.items()})
    Path("Echo").mkdir()
    soundfile.write("Echo/x.wav", np.sin(np.arange(16_000) / 20) / 4, 16_000)
    row = {"id": 1, "audio_path": "x.wav", "question": "Who?", "multi_choice": ["Ann", "Bob"], "answer": "Bob"}
    Path("Echo/list.jsonl").write_text(json.dumps(row) + "\n")
    recordings(Path("my"))
    commands = [line for block in re.findall(r"```bash\n(.*?)```", DOC, re.S) for line in block.splitlines()]
    assert [shlex.split(line)[1:3] for line in commands] == [
        ["build", "eaqa"],
        ["build", "eaqa"],
        ["build", "echo-rows"],
    ]
    for line in commands:
        assert main(shlex.split(line)[1:]) == 0
    assert {len(read_manifest(Path(f"data/eaqa-mini/{name}.jsonl"))) for name in ("sft", "rl", "test")} == {4}
    assert len(read_manifest(Path("data/eaqa/sft.jsonl"))) == 12
    assert [row.answer for path in Path("data/echo").glob("*.jsonl") for row in read_manifest(path)] == ["Bob"]


def test_the_page_counts_what_is_built():
    for name, part in FULL.items():
        line = next(line for line in DOC.splitlines() if line.startswith(f"| `{name}` |"))
        cells = [cell.strip() for cell in line.split("|")]
        assert cells[2] == f"{part.clips:,}" and cells[4] == f"{part.clips * part.questions:,}"
    for task, share in MIX.items():
        assert re.search(rf"^\| `{task}` \|.*\| {share:g} \|$", DOC, re.M)
    assert ", ".join(EVENTS) in DOC.replace("\n", " ")
