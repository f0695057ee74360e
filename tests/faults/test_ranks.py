"""One of two ranks fails: it says why before anything else, and neither is left waiting for the other."""

import os
import signal
import time
import uuid
from pathlib import Path

import pytest
import pytorch_lightning as pl
from kill import Trial, arguments, processes_of, started, statuses, wait_for_the_end_of_all

HERE = Path(__file__).stem


class Fails(pl.Callback):
    """An error on one rank only, at the second step."""

    def __init__(self, rank: int, kind: str) -> None:
        self.rank, self.kind = rank, kind

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == 2 and trainer.global_rank == self.rank:
            Path("failed").touch()
            if self.kind == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError(f"no step for rank {self.rank}")


def sharding(strategy: str | None) -> list[str]:
    """The flag of a strategy of `cogrl.parallel`; none for DDP, which the trial has."""
    return [f'--trainer.strategy={{"class_path": "cogrl.parallel.{strategy}"}}'] if strategy else []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rank", "kind", "strategy"),
    [
        (0, "error", None),
        (1, "error", None),
        (1, "killed", None),
        (0, "error", "fsdp.FsdpStrategy"),
        (1, "error", "zero.ZeroStrategy"),
    ],
)
def test_the_failure_of_one_rank_is_said_and_ends_both_soon(
    rank, kind, strategy, smoke_corpus, tiny_policy_dir, tmp_path
):
    trial = Trial("sft", 2, 0, signal.SIGTERM, False, False, 0)
    mark = uuid.uuid4().hex
    args = arguments(trial, smoke_corpus, tiny_policy_dir, tmp_path)
    fails = f'{{"class_path": "{HERE}.Fails", "init_args": {{"rank": {rank}, "kind": "{kind}"}}}}'
    with open(tmp_path / "log.txt", "w") as log:
        process = started(
            [*args, *sharding(strategy), "--checkpoint.every_n_steps=0", f"--trainer.callbacks+={fails}"],
            tmp_path,
            mark,
            log,
        )
        try:
            status = process.wait(240)
            wait_for_the_end_of_all(mark, time.monotonic())
            assert time.time() - (tmp_path / "failed").stat().st_mtime < 30
        finally:
            for number in processes_of(mark):
                os.kill(number, signal.SIGKILL)
    said = (tmp_path / "log.txt").read_text()
    assert status not in (0, 130, 143), said
    if kind == "error":
        assert f"rank {rank} of 2 failed:" in said and f"RuntimeError: no step for rank {rank}" in said
    assert set(statuses(tmp_path).values()) == {"FAILED"}
    assert not (
        tmp_path / "run" / "checkpoints" / "last.ckpt"
    ).exists()  # no rank enters a save that the other never joins
