"""A run that is killed at any moment and taken up again comes to the same numbers as one that was left alone."""

import shutil
import uuid
from pathlib import Path

import pytest
import torch
from kill import started as process_of
from killed_runs import Corpus, differences, finished, killing, points, started, steps
from safetensors.torch import load_file

from cogrl.cli.fit.checkpoints import read_checkpoint

CASES = [
    pytest.param("perceive", "writing", 3, [], id="the audio tower, while the third checkpoint is written"),
    pytest.param("dr_sapo", "updating", 6, [], id="DR-SAPO, between the two updates of a rollout"),
    *(
        pytest.param(*case, marks=pytest.mark.slow)
        for case in (
            ("sft", "validating", 3, []),
            ("distill", "sampling", 14, ["--data.workers=2"]),
            ("dr_sapo", "scoring", 3, ["--trainer.accumulate_grad_batches=2", "--data.workers=2"]),
            ("grpo", "writing", 2, ["--trainer.accumulate_grad_batches=2", "--data.batch_size=8"]),
        )
    ),
]


@pytest.fixture
def corpus(smoke_corpus: Path, tiny_policy_dir: Path) -> Corpus:
    return Corpus(tiny_policy_dir, smoke_corpus / "sft.jsonl", smoke_corpus / "val.jsonl")


@pytest.fixture
def folders(tmp_path: Path, empty_store: Path) -> tuple[Path, Path]:
    """Two, each with a store that is ready: for a whole run and for one that is cut."""
    found = tmp_path / "whole", tmp_path / "cut"
    for folder in found:
        folder.mkdir()
        shutil.copy(empty_store, folder / "mlflow.db")
    return found


@pytest.mark.parametrize(("stage", "moment", "count", "flags"), CASES)
def test_a_run_that_was_killed_goes_on_to_the_same_numbers(corpus, folders, stage, moment, count, flags):
    whole, cut = folders
    args = corpus.arguments(stage, *flags)
    alone = started(args, whole)
    assert finished([*args, killing(moment, count)], cut) == -9, (cut / "log.txt").read_text()
    assert (cut / "moment").read_text() == moment
    assert finished([*args, "--ckpt_path=last"], cut) == 0, (cut / "log.txt").read_text()
    alone.join()
    assert alone.exitcode == 0, (whole / "log.txt").read_text()
    assert differences(whole, cut) == []
    states = [torch.load(folder / "run/checkpoints/last.ckpt", weights_only=True) for folder in folders]
    assert same(*(state["optimizer_states"] for state in states))
    assert same(*(state["state_dict"] for state in states))
    assert points(cut) == points(whole), "a point is missing in the store, or there twice"
    assert rollouts(cut) == rollouts(whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    "strategy", ["ddp", '{"class_path": "cogrl.parallel.zero.ZeroStrategy"}'], ids=["DDP", "ZeRO-2"]
)
def test_two_ranks_that_were_killed_go_on_to_the_same_numbers(strategy, folders, corpus):
    whole, cut = folders
    ranks = ["--trainer.devices=2", f"--trainer.strategy={strategy}", "--data.workers=2", "--export.enabled=true"]
    args = corpus.arguments("dr_sapo", *ranks)
    for arguments, folder, expected in (
        (args, whole, 0),
        ([*args, killing("updating", 6)], cut, -9),
        ([*args, "--ckpt_path=last"], cut, 0),
    ):
        with open(folder / "log.txt", "a") as log:
            process = process_of(arguments, folder, uuid.uuid4().hex, log)
            assert process.wait(400) == expected, (folder / "log.txt").read_text()
    for rank in (0, 1):
        expected = {record["step"]: float.fromhex(record["loss"]) for record in steps(whole, rank)}
        found = [(record["step"], float.fromhex(record["loss"])) for record in steps(cut, rank)]
        assert {step for step, _ in found} == set(expected)
        assert [value for _, value in found] == pytest.approx([expected[step] for step, _ in found], rel=0, abs=1e-6)
    assert read_checkpoint(whole / "run/checkpoints/last.ckpt")["ranks"].keys() == {0, 1}
    first, second = (load_file(folder / "run/export/model.safetensors") for folder in folders)
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=0, atol=1e-6)


def same(one, other) -> bool:
    """Whether two nests of dicts, lists and tensors are equal to the bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return all(map(same, one, other)) if isinstance(one, list) else one == other


def rollouts(folder: Path) -> dict[str, str]:
    """What the rollout table has written, file by file."""
    return {file.name: file.read_text() for file in (folder / "run").glob("rollouts/*.jsonl")}
