"""A disk that is full: by an error at every write of a run, and on a real file system that is too small."""

import os
import subprocess
from pathlib import Path

import pytest
from full_disk import FullDisk
from kill import Trial, arguments, step_of

from cogrl.callbacks.checkpoint_files import LAST, folder_of
from cogrl.cli.main import main

SHORT = ["--trainer.max_steps=4", "--trainer.limit_val_batches=1", "--export.to_mlflow=false"]


@pytest.fixture
def run(smoke_corpus, tiny_policy_dir, workdir, capsys):
    """`run("--run_dir=x")`: DR-SAPO with two checkpoints; returns the exit status and what was printed."""
    trial = Trial("dr_sapo", 1, 0, 0, False, False, 0)
    args = [*arguments(trial, smoke_corpus, tiny_policy_dir, workdir), *SHORT]

    def run(*flags: str) -> tuple[int, str]:
        os.chdir(workdir)
        status = main([*args, *flags])
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


def holds(status: int, said: str, run_dir: Path) -> int | None:
    """What must hold after a run on a full disk; returns the step of its checkpoint."""
    assert status in (0, 2), said
    assert "Traceback" not in said
    if status == 2:
        assert "No space left on device" in said and ("make room there" in said or "choose another" in said), said
    return step_of(folder_of(run_dir) / LAST)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*MLflow", "ignore:the last checkpoint stays")
def test_whichever_write_fails_the_last_good_checkpoint_survives_and_the_run_goes_on(run, workdir):
    disk = FullDisk()
    with disk.full_after(None, workdir):
        assert run("--run_dir=whole")[0] == 0
    assert disk.writes > 20
    steps = []
    for room in range(disk.writes):
        run_dir = Path(f"full_after_{room}")
        with disk.full_after(room, workdir):
            status, said = run(f"--run_dir={run_dir}")
        steps.append(holds(status, said, run_dir))
        if status == 2 and steps[-1]:
            status, said = run(f"--run_dir={run_dir}", "--ckpt_path=last")
            assert status == 0 and step_of(folder_of(run_dir) / LAST) == 4, said
    assert steps == sorted(steps, key=lambda step: step or 0), "a checkpoint that was there is gone"
    assert {None, 2, 4} == set(steps)


@pytest.fixture
def small_disk(workdir):
    """`small_disk(bytes)`: an empty file system of that size; skips where this user may not mount one."""
    folder = workdir / "small"
    folder.mkdir()

    def mount(size: int) -> Path:
        unmount()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=False).returncode:
            pytest.skip("mounting a file system takes root")
        return folder

    def unmount() -> None:
        if folder.is_mount():
            subprocess.run(["umount", folder], check=True)

    yield mount
    unmount()


@pytest.mark.slow
def test_on_a_disk_too_small_the_last_good_checkpoint_survives(run, small_disk, workdir):
    assert run("--run_dir=whole")[0] == 0
    needed = sum(file.stat().st_size for file in Path("whole").rglob("*") if file.is_file())
    steps = []
    for part in (0.15, 0.3, 0.45, 0.6, 0.75, 0.9):
        run_dir = small_disk(int(needed * part)) / "run"
        status, said = run(f"--run_dir={run_dir}")
        assert status == 2, said
        steps.append(holds(status, said, run_dir))
    assert steps == sorted(steps, key=lambda step: step or 0)
    assert steps[0] is None and 2 in steps
