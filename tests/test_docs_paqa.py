"""Every command of docs/paqa.md, as it stands there, on small inputs."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import soundfile

from cogrl.cli.main import main
from cogrl.data.manifest import read_manifest
from cogrl.data.recipes.paqa import mini
from cogrl.data.recipes.paqa.environments import KINDS
from cogrl.data.recipes.paqa.mini_plan import FULL, Plan, cells

DOC = (Path(__file__).parents[1] / "docs" / "paqa.md").read_text()


def recordings(folder: Path) -> None:
    """Twelve speakers who say two sentences each, and two environments."""
    (folder / "speech").mkdir(parents=True)
    tone, noise = np.sin(np.arange(8_000) / 20) / 4, np.random.default_rng(0).standard_normal(16_000) / 8
    names = [f"p{n}-{k}" for n in range(12) for k in range(2)]
    lines = [{"id": n, "audio": f"{n}.wav", "speaker": n[:-2], "text": f"Sentence {n}"} for n in names]
    (folder / "speech/speech.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name in names:
        soundfile.write(folder / f"speech/{name}.wav", tone, 16_000)
    for label in ("bus", "rain"):
        (folder / "environments" / label).mkdir(parents=True)
        soundfile.write(folder / f"environments/{label}/1.wav", noise, 16_000)


def test_the_commands_of_the_page_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(mini._TIERS, "mini", ("numpy", Plan({"val": 4}, speakers=1, takes=1)))
    Path("CoTA").mkdir()
    soundfile.write("CoTA/x.wav", np.sin(np.arange(1_600) / 20) / 4, 16_000)
    row = {"id": 1, "instruction": "<audio>Who? (a) Ann (b) Bob", "output": "<RESPONSE>(b)</RESPONSE>"}
    Path("CoTA/part1.jsonl").write_text(json.dumps(row | {"audios": ["x.wav"]}) + "\n")
    recordings(Path("my"))
    commands = [line for block in re.findall(r"```bash\n(.*?)```", DOC, re.S) for line in block.splitlines()]
    assert [shlex.split(line)[1:3] for line in commands] == [["build", "paqa"], ["build", "cota"], ["build", "paqa"]]
    for line in commands:
        assert main(shlex.split(line)[1:]) == 0
    tasks = {row.task for row in read_manifest(Path("data/paqa-mini/val.jsonl"))}
    assert tasks == {"say", "count", "environment", "first"}
    assert len(read_manifest(Path("data/paqa/sft.jsonl"))) > 30
    assert [row.answer for path in Path("data/cota").glob("*.jsonl") for row in read_manifest(path)] == ["Bob"]


def test_the_page_counts_what_is_built():
    counts = [f"{sum(cell.split == name for cell in cells(FULL, 0)):,}" for name in ("sft", "rl", "val", "test")]
    assert "`sft` ({} lines and 359 reflection triples), `rl` ({}), `val` ({}) and `test` ({})".format(*counts) in DOC
    assert ", ".join(KINDS) in DOC.replace("\n", " ")
