"""A training that stops anywhere and is resumed does what it would have done: batches, validations, random numbers."""

import json

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import Dataset

from cogrl.callbacks.checkpoint import LastCheckpoint
from cogrl.callbacks.checkpoint_files import LAST, folder_of
from cogrl.data.repeating_loader import RepeatingLoader
from cogrl.data.shuffled_batches import ShuffledBatches


class Numbers(Dataset):
    def __len__(self) -> int:
        return 10

    def __getitem__(self, places: list[int]) -> torch.Tensor:
        return torch.tensor([places], dtype=torch.float)


class Data(pl.LightningDataModule):
    """Five batches of two, each used `repeats` times; validation has two of its own."""

    def __init__(self, repeats: int, workers: int) -> None:
        super().__init__()
        self.repeats, self.workers = repeats, {"num_workers": workers, "persistent_workers": workers > 0}

    def train_dataloader(self):
        sampler = ShuffledBatches(10, 2, 0, 0, 1)
        return RepeatingLoader(Numbers(), sampler=sampler, batch_size=None, repeats=self.repeats, **self.workers)

    def val_dataloader(self):
        return RepeatingLoader(Numbers(), sampler=ShuffledBatches(10, 5, 0, 0, 1), batch_size=None, repeats=1)


class Line(pl.LightningModule):
    """A line with dropout that counts its steps and writes down everything it does; `stop` ends it with an error."""

    def __init__(self, stop: tuple[str, int] | None = None, error: type[BaseException] = RuntimeError) -> None:
        super().__init__()
        self.line, self.stop, self.error = torch.nn.Linear(2, 1), stop, error
        self.seen, self.count, self.calls = [], 0, {}

    def notes(self, what: str, *values) -> None:
        self.seen.append((what, self.global_step, self.current_epoch, *values))
        self.calls[what] = self.calls.get(what, 0) + 1
        if self.stop == (what, self.calls[what]):
            raise self.error("stopped")

    def training_step(self, batch, batch_idx):
        self.count += 1
        loss = self.line(torch.dropout(batch, 0.5, True)).sum()
        self.notes("train", batch_idx, self.count, batch.tolist(), loss.item())
        return loss

    def validation_step(self, batch, batch_idx):
        self.notes("val", batch_idx, batch.tolist())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.01)

    def controller_states(self):
        return [("Counter", {"count": self.count})]

    def step_state(self):
        return {"count": self.count}

    def load_step_state(self, state):
        self.count = state["count"]


def fitted(folder, resumed=False, every=1, stop=None, error=RuntimeError, repeats=2, workers=0, **settings) -> Line:
    """The module after a training of two epochs, or after the error that ended it."""
    torch.manual_seed(1)
    line = Line(stop, error)
    trainer = pl.Trainer(
        **({"max_epochs": 2, "accumulate_grad_batches": 2, "limit_train_batches": 8} | settings),
        accelerator="cpu",
        default_root_dir=str(folder),
        callbacks=[LastCheckpoint(every)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    path = str(folder_of(folder) / LAST) if resumed else None
    try:
        trainer.fit(line, datamodule=Data(repeats, workers), ckpt_path=path)
    except (RuntimeError, KeyboardInterrupt, SystemExit):
        assert stop
    return line


VALIDATED = [
    pytest.param({"val_check_interval": 0.5}, id="twice an epoch"),
    pytest.param({}, id="after each epoch", marks=pytest.mark.slow),
    pytest.param(
        {"val_check_interval": 3, "check_val_every_n_epoch": None}, id="between steps", marks=pytest.mark.slow
    ),
    pytest.param({"limit_val_batches": 0}, id="never", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("validated", VALIDATED)
def test_wherever_an_error_ends_it_a_training_goes_on_as_if_there_had_been_none(tmp_path, validated):
    whole = fitted(tmp_path / "whole", **validated)
    places = [(what, n + 1) for what in ("train", "val") for n in range(whole.calls.get(what, 0))]
    for what, number in places:
        folder = tmp_path / f"{what}{number}"
        first = fitted(folder, stop=(what, number), **validated)
        assert first.seen == whole.seen[: len(first.seen)]
        resumed = (folder_of(folder) / LAST).exists()
        goes_on(whole, first, fitted(folder, resumed=resumed, **validated), f"{what} {number}")


def test_what_a_killed_training_did_behind_its_checkpoint_is_done_again(tmp_path):
    whole = fitted(tmp_path / "whole", val_check_interval=0.5)
    for number in range(5, whole.calls["train"] + 1, 3):
        folder = tmp_path / str(number)
        first = fitted(folder, every=2, stop=("train", number), error=SystemExit, val_check_interval=0.5)
        goes_on(whole, first, fitted(folder, resumed=True, val_check_interval=0.5), f"train {number}")


def test_a_training_may_be_stopped_again_and_again(tmp_path):
    whole, seen = fitted(tmp_path / "whole", workers=2), []
    parts = [fitted(tmp_path / "cut", resumed=n > 0, stop=("train", 5), workers=2) for n in range(4)]
    for part in parts:
        seen = [*seen[: whole.seen.index(part.seen[0])], *part.seen]
    assert seen == whole.seen
    assert equal(parts[-1], whole)


def goes_on(whole: Line, first: Line, rest: Line, where: str) -> None:
    """The second part begins within the first and ends as the whole one does."""
    begin = whole.seen.index(rest.seen[0]) if rest.seen else len(whole.seen)
    assert begin <= len(first.seen), f"{where}: something was left out"
    assert rest.seen == whole.seen[begin:], where
    assert equal(rest, whole), where


def equal(one: Line, other: Line) -> bool:
    return json.dumps(one.line.weight.tolist()) == json.dumps(other.line.weight.tolist())
