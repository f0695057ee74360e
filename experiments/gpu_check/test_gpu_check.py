"""The script for a GPU machine takes its whole way on a CPU, also where little is installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("run.py")
ABSENT = ("mlflow", "omegaconf", "jsonargparse", "beartype", "deepspeed", "soundfile", "soxr")
HIDES = f"""
from importlib.machinery import PathFinder
found = PathFinder.find_spec
def find_spec(cls, name, path=None, target=None):
    return None if name.split(".")[0] in {ABSENT} else found(name, path, target)
PathFinder.find_spec = classmethod(find_spec)
"""


def check(tmp_path, *words):
    (tmp_path / "sitecustomize.py").write_text(HIDES)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), "--dry-run", "--out", str(tmp_path / "out"), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_the_hidden_packages_are_really_hidden(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(HIDES)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    for name in ABSENT:
        done = subprocess.run([sys.executable, "-c", f"import {name}"], env=environment, capture_output=True, text=True)
        assert done.returncode and f"No module named '{name}'" in done.stderr


def test_all_parts_pass_without_the_packages_that_such_a_machine_lacks(tmp_path):
    done = check(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    written = {file.name: file.stat().st_size for file in (tmp_path / "out").iterdir()}
    assert set(written) == {"report.md", "tests.txt", "bench.md", "bench.csv", "rl_step.json"}
    assert sum(written.values()) < 2**20
    step = json.loads((tmp_path / "out" / "rl_step.json").read_text())
    assert len(step["variants"]) == 4 and step["logprobs_apart"] < 1e-4
    assert len(step["stages"]) == 2 and all(row["score_s"] > 0 for row in step["stages"]["dr_sapo"].values())
    repeats = [row["clips_heard_again"] for row in step["rollouts"].values()]
    assert repeats == [0, 0, 6] and all(row["tokens"] == 36 for row in step["rollouts"].values())
    assert "| rl_step |" in (tmp_path / "out" / "report.md").read_text()


def test_limits_leave_room_in_nine_minutes():
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        import run
    finally:
        sys.path.remove(str(SCRIPT.parent))
    assert sum(command.limit_s for command in run.commands(Path("work"), dry_run=False)) <= 530
    slow = run.Command("tests", [sys.executable, "-c", "import time; print('here'); time.sleep(60)"], 1)
    failing = run.Command("tests", [sys.executable, "-c", "raise SystemExit(3)"], 60)
    lacking = run.Command("bench", [sys.executable, "-c", ""], 60, ("surely-not-installed",))
    outcomes = [run.run(command) for command in (slow, failing, lacking)]
    assert [o.status for o in outcomes] == [
        "stopped after its limit of 1 s",
        "failed with status 3",
        "not run: needs surely-not-installed",
    ]
    assert outcomes[0].output == "here\n" and not any(o.passed for o in outcomes)
