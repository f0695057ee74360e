"""Choices in another order: by seed, epoch and id; the right answer stays right."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl

from cogrl.audio import write_flac
from cogrl.data.choice_order import choices_of_epoch, lettered_targets, shuffled_choices
from cogrl.data.module import AudioData
from cogrl.types import Example

CHOICES = ("calm", "tense", "merry", "A")


def question(**change) -> Example:
    return Example("q1", Path("q1.wav"), **{"question": "How?", "choices": CHOICES, "answer": "tense"} | change)


def test_the_choices_are_the_same_and_the_answer_is_one_of_them():
    orders = {shuffled_choices(question(), random.Random(seed)).choices for seed in range(200)}
    assert len(orders) == 24 and all(sorted(order) == sorted(CHOICES) for order in orders)
    assert shuffled_choices(question(), random.Random(1)).answer == "tense" and question().choices == CHOICES
    assert shuffled_choices(question(choices=()), random.Random(1)).choices == ()


def test_an_order_belongs_to_seed_epoch_and_id():
    keys = [(seed, epoch, name) for seed in range(3) for epoch in range(3) for name in ("q1", "q2")]
    orders = [choices_of_epoch(named(name), s, e).choices for s, e, name in keys]
    assert orders == [choices_of_epoch(named(name), s, e).choices for s, e, name in keys] and len(set(orders)) > 6


def named(name: str) -> Example:
    return Example(name, Path("q.wav"), question="How?", choices=CHOICES, answer="tense")


@pytest.mark.parametrize(
    ("target", "lettered"),
    [
        ("B", True),
        ("(B)", True),
        ("B. tense", True),
        ("<think>Hm.</think><answer>B</answer>", True),
        ("<think>B or not.</think>B.", True),
        ("tense", False),
        ("A", False),  # the text of a choice
        ("<think>B or not.</think><answer>tense</answer>", False),
    ],
)
def test_a_target_that_answers_with_a_letter_is_told_from_one_with_the_text(target, lettered):
    assert lettered_targets(question(targets={"choice": target})) == (["choice"] if lettered else [])


@pytest.fixture
def manifest(tmp_path):
    def write(target: str = "tense") -> str:
        tone = np.sin(np.arange(3_200) / 20).astype(np.float32) / 4
        lines = []
        for n in range(6):
            write_flac(tmp_path / f"{n}.flac", tone, 16_000)
            line = {"id": f"q{n}", "audio": f"{n}.flac", "question": "How?", "choices": CHOICES, "answer": "tense"}
            lines.append(line | {"targets": {"choice": target}})
        (tmp_path / "q.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return str(tmp_path / "q.jsonl")

    return write


class RecordsChoices(pl.LightningModule):
    """Records the order of choices in its prompts, epoch by epoch."""

    steps_per_batch = 2

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization, self.seen = False, []

    def training_step(self, batch, batch_idx):
        self.seen += [(self.current_epoch, clip.example.id, clip.example.choices) for clip in batch.clips]

    def configure_optimizers(self):
        return None


def seen(path: str, workers: int, **settings) -> list:
    stage = RecordsChoices()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(max_epochs=3, accelerator="cpu", enable_model_summary=False, **quiet)
    trainer.fit(stage, AudioData(train=path, batch_size=3, workers=workers, **settings))
    return stage.seen


def test_training_questions_get_another_order_each_epoch_and_the_same_one_again_on_the_next_run(manifest):
    path = manifest()
    first = seen(path, 0, shuffle_choices=True)
    assert {choices for _, _, choices in seen(path, 0)} == {CHOICES}
    by_epoch = [{name: choices for epoch, name, choices in first if epoch == e} for e in range(3)]
    assert all(len(orders) == 6 for orders in by_epoch) and by_epoch[0] != by_epoch[1] != by_epoch[2]
    assert len(set(first)) == 18 and len(first) == 36  # a batch that is repeated keeps its order
    assert seen(path, 1, shuffle_choices=True) == first
    assert seen(path, 0, shuffle_choices=True, seed=1) != first


def test_a_line_whose_target_names_a_letter_is_refused_while_choices_are_shuffled(manifest):
    path = manifest("B")
    AudioData(train=path).setup("fit")
    with pytest.raises(
        ValueError, match=r"q.jsonl:1 \(q0\): targets.choice answers with a letter, which another order"
    ):
        AudioData(train=path, shuffle_choices=True).setup("fit")
