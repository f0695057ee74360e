"""A run folder belongs to one living process and to one run; its checkpoint is whole or the one before it is used."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cogrl.callbacks.checkpoint_io import DirectCheckpointIO
from cogrl.cli.main import main
from cogrl.cli.run_folder import sole_writer

LAST, PREVIOUS = Path("run/checkpoints/last.ckpt"), Path("run/checkpoints/previous.ckpt")


def step_of(path: Path) -> int:
    return torch.load(path, weights_only=True)["global_step"]


def test_a_new_run_over_an_older_one_is_refused_with_the_two_ways_out(command, workdir, capsys):
    assert main(command("fit", "--trainer.max_steps=2")) == 0
    config = Path("run/config.yaml").read_bytes()
    capsys.readouterr()
    assert main(command("fit", "--trainer.max_steps=3", "--model.optim.lr=0.5")) == 2
    said = capsys.readouterr().err
    assert "holds an earlier run" in said and "--ckpt_path last" in said and "--overwrite" in said
    assert step_of(LAST) == 2
    assert Path("run/config.yaml").read_bytes() == config


def test_overwrite_sets_the_older_run_aside_whole(command, workdir, capsys):
    assert main(command("fit", "--trainer.max_steps=2")) == 0
    old = Path("run/export/model.safetensors").read_bytes()
    assert main(command("fit", "--trainer.max_steps=1", "--overwrite=true", "--export.enabled=false")) == 0
    assert "run.replaced" in capsys.readouterr().out
    assert step_of(LAST) == 1 and not Path("run/export").exists()
    assert step_of("run.replaced/checkpoints/last.ckpt") == 2
    assert Path("run.replaced/export/model.safetensors").read_bytes() == old


def test_a_checkpoint_of_another_folder_does_not_open_this_one(command, workdir, capsys):
    assert main(command("fit", "--run_dir=one")) == 0
    assert main(command("fit")) == 0
    assert main(command("fit", "--trainer.max_steps=2", "--ckpt_path=one/checkpoints/last.ckpt")) == 2
    assert "holds an earlier run" in capsys.readouterr().err


HOLDS = """
import sys, time
from pathlib import Path
from cogrl.cli.run_folder import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def writer(tmp_path):
    """`writer(folder)`: another process that holds a folder."""
    started = []

    def start(folder: Path) -> subprocess.Popen:
        paths = os.pathsep.join(str(Path(__file__).parents[2] / part) for part in (".", "kernels"))
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDS, str(folder)], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": paths}
        )
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_folder_that_a_living_process_writes_is_refused_by_its_number_until_it_is_killed(
    command, workdir, writer, capsys
):
    process = writer(workdir / "run")
    assert main(command("fit")) == 2
    assert f"is being written by process {process.pid} on " in capsys.readouterr().err
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert main(command("fit")) == 0


def test_a_pipeline_that_another_process_runs_is_refused_by_its_number(workdir, writer, capsys):
    pipeline = {"name": "two", "run_dir": "runs/two", "steps": [{"name": "help", "command": ["--help"]}]}
    Path("two.yaml").write_text(json.dumps(pipeline))
    process = writer(workdir / "runs" / "two")
    assert main(["run", "two.yaml"]) == 2
    assert f"is being written by process {process.pid} on " in capsys.readouterr().err


def test_the_right_to_write_is_given_back(tmp_path):
    for _ in range(2):
        with sole_writer(tmp_path / "run"):
            pass


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_it(command, workdir, capsys):
    args = command("fit", "--trainer.max_steps=4", "--checkpoint.every_n_steps=2")
    assert main(args) == 0
    assert (step_of(LAST), step_of(PREVIOUS)) == (4, 2)
    torn(LAST)
    assert main([*args, "--ckpt_path=last"]) == 0
    assert f"{LAST.absolute()} is damaged and passed over" in capsys.readouterr().out
    assert step_of(LAST) == 4


def test_a_damaged_checkpoint_is_named_together_with_the_last_good_one(command, workdir, capsys):
    args = command("fit", "--trainer.max_steps=4", "--checkpoint.every_n_steps=2")
    assert main(args) == 0
    shutil.copy(LAST, "mine.ckpt")
    torn(Path("mine.ckpt"))
    Path("notes.ckpt").write_text("not a checkpoint")
    capsys.readouterr()
    for name in ("mine.ckpt", "notes.ckpt"):
        for subcommand in ("fit", "validate", "test"):
            assert main([subcommand, *args[1:], f"--ckpt_path={name}"]) == 2
            said = capsys.readouterr().err
            assert f"{name} is damaged or no checkpoint" in said
            assert f"the last good one is {LAST.absolute()}: --ckpt_path last" in said


def test_a_checkpoint_of_another_stage_is_refused_by_name(command, workdir, capsys):
    assert main(command("fit", "--run_dir=perceived", stage="perceive")) == 0
    assert main(command("fit", "--ckpt_path=perceived/checkpoints/last.ckpt")) == 2
    said = capsys.readouterr().err
    assert "was written with stage cogrl.stages.perceive.Perceive, this run has cogrl.stages.sft.Sft" in said


@pytest.mark.parametrize(
    ("name", "theirs", "ours"), [("world_size", 2, 1), ("strategy", "DDPStrategy", "SingleDeviceStrategy")]
)
def test_a_checkpoint_of_another_strategy_or_number_of_processes_is_refused(
    command, workdir, capsys, name, theirs, ours
):
    args = command("fit")
    assert main(args) == 0
    state = torch.load(LAST, weights_only=True)
    assert state["callbacks"]["RunRecord"][name] == ours
    state["callbacks"]["RunRecord"][name] = theirs
    torch.save(state, LAST)
    assert main([*args, "--ckpt_path=last"]) == 2
    assert f"was written with {name} {theirs}, this run has {ours}" in capsys.readouterr().err


def test_a_checkpoint_folder_of_a_sharded_strategy_is_refused_by_a_strategy_that_reads_files(command, workdir, capsys):
    args = command("fit")
    assert main(args) == 0
    LAST.unlink()
    (LAST / "checkpoint").mkdir(parents=True)
    noted = {"callbacks": {"RunRecord": {"world_size": 1}}}
    torch.save(noted, LAST / "checkpoint" / "mp_rank_00_model_states.pt")
    torch.save({}, LAST / "checkpoint" / "zero_pp_rank_0_mp_rank_00_optim_states.pt")
    assert main([*args, "--ckpt_path=last"]) == 2
    said = capsys.readouterr().err
    assert "last.ckpt is a folder, as sharded strategies write it" in said and "SingleDeviceStrategy" in said


class FullDisk:
    """`torch.save` on a disk that is full after so many bytes."""

    def __init__(self, room: int) -> None:
        self.room, self.real = room, torch.save

    def __call__(self, state, file) -> None:
        file.write(b"x" * self.room)
        raise OSError(28, "No space left on device")


@pytest.mark.sample(1)
@pytest.mark.parametrize("room", [0, 1000, 100_000])
def test_a_full_disk_ends_the_run_with_its_name_and_the_last_checkpoint_survives(
    command, workdir, capsys, monkeypatch, room
):
    args = command("fit", "--trainer.max_steps=4", "--checkpoint.every_n_steps=2")
    save = DirectCheckpointIO.save_checkpoint

    def save_until_full(self, checkpoint, path, storage_options=None):
        if checkpoint["global_step"] == 4:
            monkeypatch.setattr("cogrl.callbacks.checkpoint_io.torch.save", FullDisk(room))
        save(self, checkpoint, path, storage_options)

    monkeypatch.setattr(DirectCheckpointIO, "save_checkpoint", save_until_full)
    assert main(args) == 2
    said = capsys.readouterr().err
    assert "the checkpoint of step 4 can not be written" in said and "No space left on device" in said
    assert str(workdir / "run" / "checkpoints") in said and "GiB free" in said and "--run_dir" in said
    assert step_of(LAST) == 2 and sorted(p.name for p in LAST.parent.iterdir()) == ["last.ckpt"]
    monkeypatch.undo()
    os.chdir(workdir)
    assert main([*args, "--ckpt_path=last"]) == 0
    assert step_of(LAST) == 4


def test_checkpoints_need_no_room_in_the_folder_for_temporary_files(command, workdir, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(workdir / "gone"))
    assert main(command("fit", "--trainer.logger=false", "--export.enabled=false", "--trainer.max_steps=1")) == 0
    assert step_of(LAST) == 1
