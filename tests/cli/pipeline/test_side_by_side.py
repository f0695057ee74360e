"""Commands side by side: how many at a time, in which order, and what a failure stops."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from cogrl.cli.pipeline.side_by_side import seeds_and_overlays, side_by_side

STAND_IN = """
import pathlib, sys, time
name, seconds, status = sys.argv[1:4]
with open("log", "a") as log: log.write(f"+{name} ")
time.sleep(float(seconds))
pathlib.Path(name).touch()
with open("log", "a") as log: log.write(f"-{name} ")
sys.exit(int(status))
"""


@pytest.fixture
def root(workdir, monkeypatch) -> Path:
    """A folder in which `python -m cogrl.cli.main NAME SECONDS STATUS` notes when it begins and ends."""
    (workdir / "cogrl" / "cli").mkdir(parents=True)
    for file in ("cogrl/__init__.py", "cogrl/cli/__init__.py"):
        (workdir / file).write_text("")
    (workdir / "cogrl" / "cli" / "main.py").write_text(STAND_IN)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return workdir


def most_at_once(log: str) -> int:
    running = [0]
    for word in log.split():
        running.append(running[-1] + (1 if word[0] == "+" else -1))
    return max(running)


def test_all_run_two_at_a_time_in_their_order(root):
    side_by_side({name: [name, "0.6", "0"] for name in "abc"}, root)
    log = (root / "log").read_text()
    assert most_at_once(log) == 2
    assert [word[1] for word in log.split() if word[0] == "+"][2] == "c"
    assert {word[1] for word in log.split() if word[0] == "-"} == set("abc")


def test_after_a_failure_no_other_is_started_and_what_runs_is_waited_for(root):
    commands = {"one": ["one", "0", "3"], "two": ["two", "1.5", "0"], "three": ["three", "0", "0"]}
    with pytest.raises(RuntimeError, match=r"^one failed"):
        side_by_side(commands, root)
    log = (root / "log").read_text()
    assert log.endswith("-two ") and "three" not in log


def test_corpora_come_first_then_the_seeds_then_each_overlay_of_each_seed(root, monkeypatch):
    asked = []
    monkeypatch.setattr("cogrl.cli.pipeline.side_by_side.side_by_side", lambda commands, root: asked.append(commands))
    seeds_and_overlays(root, "a.yaml", {"corpus": ["build", "x"]}, [0, 1], ["o/no_kl.yaml"])
    assert asked == [
        {"corpus": ["build", "x"]},
        {f"seed {seed}": ["run", "a.yaml", "--set", f"seed={seed}"] for seed in (0, 1)},
        {f"no_kl, seed {seed}": ["run", "a.yaml", "o/no_kl.yaml", "--set", f"seed={seed}"] for seed in (0, 1)},
    ]


def test_a_failure_between_two_looks_is_seen(root, monkeypatch):
    """A process that ends while the running ones are counted must not leave unnoticed."""

    class Ending(subprocess.Popen):
        looks = 0

        def poll(self):
            status, self.looks = self.wait(), self.looks + 1
            return None if self.looks == 1 else status  # still running at the first look, ended at the next

    monkeypatch.setattr(subprocess, "Popen", Ending)
    with pytest.raises(RuntimeError, match=r"^one failed"):
        side_by_side({"one": ["one", "0", "3"]}, root)


def test_ctrl_c_waits_for_what_runs(root):
    code = (
        "import sys; from pathlib import Path; from cogrl.cli.pipeline.side_by_side import side_by_side\n"
        "side_by_side({'a': ['a', '5', '0'], 'b': ['b', '5', '0'], 'c': ['c', '0', '0']}, Path(sys.argv[1]))"
    )
    library = Path(__file__).parents[3]
    with open(root / "err", "wb") as err:
        process = subprocess.Popen([sys.executable, "-c", code, str(root)], cwd=library, stderr=err)
    end = time.monotonic() + 60
    while not (root / "log").exists() or (root / "log").read_text().count("+") < 2:
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)  # not to the children: theirs is a terminal's business
    process.wait(timeout=60)
    assert "KeyboardInterrupt" in (root / "err").read_text()
    log = (root / "log").read_text()
    assert "-a" in log and "-b" in log and "+c" not in log


def test_the_store_has_its_experiment_before_anything_runs(root):
    side_by_side({}, root)
    assert MlflowClient(f"sqlite:///{root}/mlflow.db").get_experiment_by_name("cogrl") is not None
