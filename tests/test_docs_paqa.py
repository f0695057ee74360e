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


def test_the_commands_of_the_page_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(mini._TIERS, "mini", ("numpy", Plan({"val": 4}, speakers=1, takes=1)))
    Path("CoTA").mkdir()
    soundfile.write("CoTA/x.wav", np.sin(np.arange(1_600) / 20) / 4, 16_000)
    row = {"id": 1, "instruction": "<audio>Who? (a) Ann (b) Bob", "output": "<RESPONSE>(b)</RESPONSE>"}
    Path("CoTA/part1.jsonl").write_text(json.dumps(row | {"audios": ["x.wav"]}) + "\n")
    commands = [line for block in re.findall(r"```bash\n(.*?)```", DOC, re.S) for line in block.splitlines()]
    assert [shlex.split(line)[1:3] for line in commands] == [["build", "paqa"], ["build", "cota"]]
    for line in commands:
        assert main(shlex.split(line)[1:]) == 0
    tasks = {row.task for row in read_manifest(Path("data/paqa-mini/val.jsonl"))}
    assert tasks == {"say", "count", "environment", "first"}
    assert [row.answer for path in Path("data/cota").glob("*.jsonl") for row in read_manifest(path)] == ["Bob"]


def test_the_page_counts_what_is_built():
    counts = [f"{sum(cell.split == name for cell in cells(FULL, 0)):,}" for name in ("sft", "rl", "val", "test")]
    assert "`sft` ({} lines), `rl` ({}), `val` ({}) and `test` ({})".format(*counts) in DOC
    assert ", ".join(KINDS) in DOC.replace("\n", " ")
