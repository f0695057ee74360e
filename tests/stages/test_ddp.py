"""Two real processes: each rank rolls out its own prompts, gradients are averaged, weights stay equal."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_two_process_ddp_makes_one_rl_step(tiny_policy_dir, smoke_corpus, tmp_path):
    script = Path(__file__).with_name("ddp_step.py")
    command = [sys.executable, script, tiny_policy_dir, smoke_corpus / "sft.jsonl", tmp_path]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first["step"] == second["step"] == 2
    assert not set(first["ids"]) & set(second["ids"])
    assert first["texts"] != second["texts"]
    assert first["weights"] == second["weights"] != first["before"]
