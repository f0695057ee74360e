"""Two processes, each with a hash seed of its own, come to the numbers of one."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cogrl.data.dealt_batches import DealtBatches
from cogrl.stages.means import Means, means_of

HASH_SEEDS = ((0, 1), (2, 3), (4, 0))


def started(arguments: list, ranks: int, rank: int, port: int, hash_seed: int) -> subprocess.Popen:
    """One process of a run that a launcher would start."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank), "NODE_RANK": "0"}
    environment = os.environ | {"PYTHONHASHSEED": str(hash_seed), "OMP_NUM_THREADS": "1"} | (place if ranks > 1 else {})
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finished(processes: list[subprocess.Popen]) -> list[str]:
    """What they printed; none is left behind."""
    try:
        said = [process.communicate(timeout=240)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * len(processes), "\n".join(said)[-4000:]
    return said


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.slow
def test_two_ranks_validate_and_test_to_the_numbers_of_one(tiny_policy_dir, smoke_corpus, tmp_path):
    script, manifest = Path(__file__).with_name("evaluated_ranks.py"), smoke_corpus / "val.jsonl"
    assert len(manifest.read_text().splitlines()) == 7  # which neither 2 nor 4 clips a batch divide among two
    (tmp_path / "one").mkdir()
    finished([started([script, tiny_policy_dir, manifest, tmp_path / "one", 1], 1, 0, 0, 0)])
    expected = json.loads((tmp_path / "one/1_0.json").read_text())
    for seeds in HASH_SEEDS:
        out, port = tmp_path / "_".join(map(str, seeds)), free_port()
        out.mkdir()
        arguments = [script, tiny_policy_dir, manifest, out, 2]
        finished([started(arguments, 2, rank, port, seed) for rank, seed in enumerate(seeds)])
        for rank in (0, 1):
            found = json.loads((out / f"2_{rank}.json").read_text())
            assert {name: list(metrics) for name, metrics in found.items()} == {n: list(m) for n, m in expected.items()}
            for name, metrics in expected.items():
                assert found[name] == pytest.approx(metrics, rel=1e-6, abs=1e-6), (name, seeds, rank)
    assert set(expected["sft 2"]) == {"val/loss_eips", "val/loss_direct"} and set(expected["partly 2"]) == {
        "val/loss_eips"
    }
    assert expected["test 2"]["test/eips/five"] == 5 and "test/eips/never" not in expected["test 2"]
    assert {"test/direct/anger", "test/direct/happy", "test/direct/sad"} <= set(expected["test 2"])
    assert {"val/align/ce", "val/align/kd"} <= set(expected["align 2"])


@pytest.mark.slow
def test_two_ranks_predict_every_clip_once_in_one_file_in_the_order_of_the_manifest(
    tiny_policy_dir, smoke_corpus, tmp_path
):
    files = [
        word
        for part in ("stage/sft", "policy/tiny", "data/lime_mini_sft", "trainer/cpu")
        for word in ("--config", Path(__file__).parents[2] / f"configs/{part}.yaml")
    ]

    def arguments(ranks: int) -> list:
        settings = [f"--model.policy.path={tiny_policy_dir}", f"--data.test={smoke_corpus / 'test.jsonl'}"]
        settings += ["--data.batch_size=2", "--model.sampling.max_new_tokens=4", "--trainer.logger=false"]
        settings += [f"--trainer.devices={ranks}", f"--run_dir={tmp_path / str(ranks)}"]
        settings += ["--trainer.strategy=ddp"] if ranks > 1 else []
        return ["-m", "cogrl.cli.main", "predict", *files, *settings]

    finished([started(arguments(1), 1, 0, 0, 0)])
    port = free_port()
    said = finished([started(arguments(2), 2, rank, port, rank) for rank in (0, 1)])
    assert ["7 answers written" in text for text in said] == [True, False]
    assert [path.name for path in (tmp_path / "2").glob("predictions*")] == ["predictions.jsonl"]
    alone, together = ((tmp_path / str(n) / "predictions.jsonl").read_text() for n in (1, 2))
    ids = [json.loads(line)["id"] for line in together.splitlines()]
    assert ids == [json.loads(line)["id"] for line in (smoke_corpus / "test.jsonl").read_text().splitlines()]
    assert together == alone


@pytest.mark.parametrize("size, batch_size, world_size", [(7, 2, 2), (7, 3, 2), (8, 4, 2), (1, 4, 3), (12, 2, 3)])
def test_ranks_evaluate_each_clip_once_in_equally_many_batches(size, batch_size, world_size):
    ranks = [DealtBatches(size, batch_size, rank, world_size) for rank in range(world_size)]
    assert len({len(rank) for rank in ranks}) == 1 and all(len(list(rank)) == len(rank) for rank in ranks)
    in_turn = [batch for dealt in zip(*ranks, strict=True) for batch in dealt]
    assert [place for batch in in_turn for place in batch] == list(range(size))
    alone = list(DealtBatches(size, batch_size, 0, 1))
    assert [batch for batch in in_turn if batch] == alone  # so each loss is that of one process


def test_a_rank_without_clips_runs_one_that_does_not_count(smoke_corpus):
    from types import SimpleNamespace

    from cogrl.data.module import AudioData

    data = AudioData(val=str(smoke_corpus / "val.jsonl"), batch_size=4)
    data.setup("validate")
    data.trainer = SimpleNamespace(global_rank=1, world_size=3)
    assert [(len(batch), batch.count) for batch in data.val_dataloader()] == [(3, 3)]
    data.trainer.global_rank = 2
    assert [(len(batch), batch.count) for batch in data.val_dataloader()] == [(1, 0)]


def test_means_are_of_all_samples_whatever_names_and_order_a_rank_has():
    first, second = Means(), Means()
    first.add("loss", 2.0, 3)
    first.add_applicable("five", torch.tensor([5.0, torch.nan, torch.nan]))
    first.add_applicable("never", torch.tensor([torch.nan]))
    second.add_applicable("five", torch.tensor([torch.nan, torch.nan]))
    second.add_applicable("there", torch.tensor([1.0, 2.0, torch.nan]))
    second.add("loss", 4.0, 1)
    second.add("loss", torch.tensor(torch.nan), 0)  # padding, whatever came out
    found = means_of([first.totals, second.totals])
    assert found == {"loss": 2.5, "five": 5.0, "there": 1.5}
    assert list(found) == ["loss", "five", "there"]


def test_a_loss_that_is_not_a_number_is_never_averaged_away():
    means = Means()
    means.add("loss", torch.tensor(torch.nan), 2)
    means.add("loss", 1.0, 2)
    assert str(means.over_ranks()) == "{'loss': nan}"
