"""With accumulated gradients a step is several micro-batches: what is shown of it is of all of them."""

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers.logger import DummyLogger

from cogrl.callbacks.progress import ProgressLines
from cogrl.data.module import AudioData
from cogrl.rollout.sampling import Sampling
from cogrl.stages import Distill, DrSapo, Perceive, Sft
from cogrl.stages.step_means import StepMeans
from cogrl.types import Scores


class RecordingLogger(DummyLogger):
    """What a tracker gets, by step."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[int, dict[str, float]] = {}

    def log_metrics(self, metrics, step=None) -> None:
        self.rows.setdefault(step, {}).update(metrics)


class Shown(pl.Callback):
    """What the bar shows when a step is done, by step."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, float]] = {}

    def on_train_batch_end(self, trainer, *_) -> None:
        self.rows.setdefault(trainer.global_step - 1, dict(trainer.progress_bar_metrics))


def micro_batches(stage, name) -> dict[int, list[float]]:
    """Filled by a fit: what each micro-batch of a step says of `name`, before anything is put together."""
    found: dict[int, list[float]] = {}
    add = stage.step_means.add

    def spy(key, value, step, *rest):
        if key == name:
            found.setdefault(step, []).append(float(value))
        return add(key, value, step, *rest)

    stage.step_means.add = spy
    return found


def losses(stage) -> dict[int, list[float]]:
    """Filled by a fit: what `training_step` returned, by optimiser step."""
    found: dict[int, list[float]] = {}
    training_step = stage.training_step

    def spy(batch, batch_idx):
        loss = training_step(batch, batch_idx)
        found.setdefault(stage.global_step, []).append(loss.item())
        return loss

    stage.training_step = spy
    return found


def fit(stage, corpus, accumulate, steps, *callbacks, **data):
    logger, shown = RecordingLogger(), Shown()
    trainer = pl.Trainer(
        max_steps=steps,
        max_epochs=-1,
        accumulate_grad_batches=accumulate,
        logger=logger,
        callbacks=[shown, *callbacks],
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    trainer.fit(stage, AudioData(train=str(corpus / "sft.jsonl"), batch_size=4, **data))
    return logger.rows, shown.rows


@pytest.mark.parametrize("kind", [Sft, Perceive, Distill])
@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_the_loss_shown_for_a_step_is_the_mean_of_its_micro_batches(kind, policy, smoke_corpus, accumulate):
    """28 clips are 7 micro-batches an epoch, so the last step of an epoch has fewer of them than the others."""
    stage = kind(policy)
    found = losses(stage)
    tracked, shown = fit(stage, smoke_corpus, accumulate, steps=8)
    an_epoch = [accumulate] * (7 // accumulate) + [7 % accumulate] * (7 % accumulate > 0)
    assert [len(part) for part in found.values()] == (an_epoch * 3)[:8]
    for step, part in found.items():
        mean = pytest.approx(sum(part) / len(part), rel=1e-6)
        assert tracked[step]["train/loss"] == mean and shown[step]["train/loss"] == mean


def test_accuracy_is_of_the_whole_step_too(policy, smoke_corpus):
    stage = Perceive(policy)
    found = micro_batches(stage, "train/accuracy")
    tracked, _ = fit(stage, smoke_corpus, 3, steps=6)
    assert any(len(set(part)) > 1 for part in found.values()), "no step that could tell a mean from its last part"
    for step, part in found.items():
        assert tracked[step]["train/accuracy"] == pytest.approx(sum(part) / len(part), rel=1e-6)


class Letters:
    def score(self, answers) -> Scores:
        total = torch.tensor([answer.text.count("e") / max(1, len(answer.text)) for answer in answers])
        return Scores(total, {})


def test_telemetry_of_an_rl_step_is_of_all_its_micro_batches(policy, smoke_corpus):
    stage = DrSapo(policy, reward=Letters(), group_size=4, sampling=Sampling(max_new_tokens=6))
    entropy, largest = micro_batches(stage, "policy/entropy"), []
    log_update = stage.log_update
    stage.log_update = lambda metrics: (
        largest.append((stage.global_step, metrics["ratio_max"].item())) or log_update(metrics)
    )
    tracked, _ = fit(stage, smoke_corpus, 2, steps=4)
    for step in range(4):
        assert len(entropy[step]) == 2
        assert tracked[step]["policy/entropy"] == pytest.approx(sum(entropy[step]) / 2, rel=1e-6)
        extreme = max(value for at, value in largest if at == step)
        assert tracked[step]["policy/ratio_max"] == pytest.approx(extreme, rel=1e-6)
        assert f"reward/{stage.formats[0]}/total" in tracked[step]


def test_a_progress_line_is_printed_of_whole_steps_only(policy, smoke_corpus, capsys):
    stage = Sft(policy)
    found = losses(stage)
    fit(stage, smoke_corpus, 3, 3, ProgressLines(every_s=0.0))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert [line.split("  ")[1] for line in lines] == [
        f"train/loss {sum(part) / len(part):.4g}" for part in found.values()
    ]


def test_one_value_stays_what_it_is_and_a_new_step_begins_anew():
    means = StepMeans()
    assert means.add("x", 3, step=0, micro_batch=0) == 3
    assert means.add("x", torch.tensor(5.0, requires_grad=True), step=0, micro_batch=1).item() == 4.0
    assert means.add("x", 7.0, step=0, micro_batch=1) == 5.0  # the later of two in one micro-batch
    assert means.add("y", 2.0, step=0, micro_batch=1) == 2.0  # a name the first one did not log
    assert means.add("x", 1.0, step=1, micro_batch=2) == 1.0
    assert not means.add("x", torch.tensor(3.0, requires_grad=True), step=1, micro_batch=3).requires_grad
    assert means.add("x", 0.0, 1, 4, "max") == 3.0
    assert means.add("x", 0.0, 1, 5, "sum") == 4.0


class LogsTheEpoch(Sft):
    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.log("train/batches", float(batch_idx), on_step=False, on_epoch=True, batch_size=1)
        return loss


def test_a_mean_over_the_epoch_is_left_to_lightning(policy, smoke_corpus):
    tracked, _ = fit(LogsTheEpoch(policy), smoke_corpus, 2, steps=4)
    assert [row["train/batches"] for row in tracked.values() if "train/batches" in row] == [3.0]  # mean of 0 ... 6
