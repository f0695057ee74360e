"""The doctor on the small corpus and policy, in this process."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cogrl.cli.main import main

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = ("--data.batch_size=4", "--data.workers=0", "--model.sampling.max_new_tokens=6", "--trainer.accelerator=cpu")


@dataclass(frozen=True)
class Said:
    """What the command has printed and returned."""

    status: int
    text: str

    def of(self, state: str) -> dict[str, str]:
        """Name and text, on one line, of each finding in a state."""
        paragraphs = re.findall(r"^(\S.*(?:\n {9,}.*)*)", self.text, re.M)
        rows = [" ".join(paragraph.split()) for paragraph in paragraphs]
        return {row: row for row in rows if row.startswith(f"{state} ")}

    @property
    def faults(self) -> str:
        return "\n".join(self.of("FAULT"))


@pytest.fixture
def folder(tmp_path: Path, tiny_policy_dir: Path, smoke_corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a policy in `tiny` and manifests that may be changed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    shutil.copytree(tiny_policy_dir, "tiny")
    for split in ("sft", "val"):
        lines = map(json.loads, (smoke_corpus / f"{split}.jsonl").read_text().splitlines()[:8])
        write_lines(
            tmp_path / f"{split}.jsonl", [line | {"audio": str(smoke_corpus / line["audio"])} for line in lines]
        )
    return tmp_path


@pytest.fixture
def doctor(folder: Path, capsys: pytest.CaptureFixture) -> Callable[..., Said]:
    """`doctor("--x=1", stage="grpo")`: what the command says of a fit on the files of `folder`."""

    def examine(*flags: str, command: str = "doctor", stage: str = "grpo", policy: str = "tiny") -> Said:
        files = [CONFIGS / "stage" / f"{stage}.yaml", CONFIGS / "policy" / f"{policy}.yaml"]
        named = [word for file in (*files, CONFIGS / "trainer" / "cpu.yaml") for word in ("--config", str(file))]
        paths = ["--model.policy.path=tiny", "--data.train=sft.jsonl", "--data.val=val.jsonl", "--run_dir=run"]
        status = main([command, *named, *paths, *SMALL, *flags])
        return Said(status, capsys.readouterr().out)

    return examine


def read_lines(file: Path) -> list[dict]:
    return list(map(json.loads, file.read_text().splitlines()))


def write_lines(file: Path, lines: list[dict]) -> None:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
