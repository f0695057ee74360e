"""Two ranks on two nodes: what is checked where, and that both hear of what one of them refuses or can not read."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

LINES = 28


@pytest.fixture(scope="module")
def seen(smoke_corpus, tmp_path_factory):
    """`seen[scenario][rank]`, from two real processes that talk over gloo."""
    corpora, out = tmp_path_factory.mktemp("nodes"), tmp_path_factory.mktemp("out")
    for rank in ("0", "1"):
        shutil.copytree(smoke_corpus, corpora / rank, copy_function=shutil.copyfile)  # with times of their own
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    shared |= {"LOCAL_WORLD_SIZE": "1", "TORCHELASTIC_RUN_ID": "two-nodes", "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, str(Path(__file__).with_name("two_nodes.py")), str(corpora), str(out)]
    ranks = [
        subprocess.Popen(
            words, env=os.environ | shared | {"RANK": rank, "GROUP_RANK": rank}, stderr=subprocess.PIPE, text=True
        )
        for rank in ("0", "1")
    ]
    try:
        errors = [rank.communicate(timeout=400)[1] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()  # one that waits in a collective ignores SIGTERM
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(errors)
    found = [json.loads((out / f"{rank}.json").read_text()) for rank in (0, 1)]
    return {name: [rank[name] for rank in found] for name in found[0]}


def test_each_node_looks_at_its_own_files(seen):
    assert [rank["opened"] for rank in seen["own disks"]] == [LINES, LINES]
    assert [rank["known"] for rank in seen["own disks"]] == [LINES, LINES]


def test_on_a_shared_disk_the_first_rank_opens_every_file_and_the_others_none(seen):
    assert [rank["opened"] for rank in seen["a shared disk"]] == [LINES, 0]
    assert [rank["known"] for rank in seen["a shared disk"]] == [LINES, LINES]


def test_ranks_train_on_other_clips_and_as_many(seen):
    ids = [[name for batch in rank["seen"] for name in batch] for rank in seen["own disks"]]
    assert len(ids[0]) == len(ids[1]) == LINES // 2 and not set(ids[0]) & set(ids[1])


@pytest.mark.parametrize(
    ("scenario", "reasons"),
    [
        ("damaged on the second node", ["/1/sft.jsonl:3 (", "is cut: "]),
        ("another manifest on the second node", ["/1/sft.jsonl on ", "give every node the same file"]),
        ("no manifest on the second node", ["/1/sft.jsonl is missing"]),
    ],
)
def test_what_one_node_refuses_both_raise_before_the_first_step(seen, scenario, reasons):
    first, second = seen[scenario]
    assert first["error"] == second["error"] and first["seen"] == second["seen"] == []
    assert all(reason in first["error"] for reason in reasons), first["error"]


def test_ranks_share_the_stages_check_of_the_lines_and_raise_what_any_of_them_found(seen):
    first, second = seen["the stage's check"]
    assert len(first["asked"]) == len(second["asked"]) == LINES // 2 and not set(first["asked"]) & set(second["asked"])
    lines = [line.split(" (")[0].rpartition(":")[2] for line in first["error"].splitlines()]
    assert lines == [str(LINES - back) for back in (3, 2, 1, 0)]
    assert [line.rpartition(": ")[2] for line in second["error"].splitlines()] == ["of no use"] * 4


def test_ranks_share_the_count_of_the_longest_targets(seen):
    first, second = seen["targets"]
    assert first["counted"] and second["counted"] and not set(first["counted"]) & set(second["counted"])
    longest = max([*first["counted"], *second["counted"]], key=lambda text: len(text.encode()))
    said = [f"a target of {len(longest.encode())} tokens" in rank["said"] for rank in (first, second)]
    assert said == [True, True]


def test_a_clip_that_breaks_in_mid_run_stops_both_ranks_at_the_same_batch_by_name(seen):
    first, second = seen["stop"]
    assert first["error"] == second["error"] and len(first["seen"]) == len(second["seen"]) == 1
    assert "stop-1/sft.jsonl:" in first["error"] and "has changed since it was checked" in first["error"]
    assert "--ckpt_path last" in first["error"] and "data.broken_clips: skip" in first["error"]


def test_with_skip_another_clip_stands_in_and_both_ranks_train_on(seen):
    first, second = seen["skip"]
    assert first["error"] is second["error"] is None
    assert [len(batch) for batch in second["seen"]] == [len(batch) for batch in first["seen"]] == [2] * (LINES // 4)
    assert first["broken"] == second["broken"] == 1
    assert "skip-1/sft.jsonl:" in first["warned"][0] and not second["warned"]
    assert seen["own disks"][1]["seen"][1] != second["seen"][1]
