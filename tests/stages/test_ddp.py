"""Two real processes: each rank rolls out its own prompts, gradients are averaged, weights stay equal."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def run(tiny_policy_dir, smoke_corpus, tmp_path_factory):
    """`run(*more)`: what ranks 0 and 1 of `ddp_step.py` saw; the same run is made once."""

    @cache
    def run(*more: str) -> list[dict]:
        script, out = Path(__file__).with_name("ddp_step.py"), tmp_path_factory.mktemp("ranks")
        command = [sys.executable, script, tiny_policy_dir, smoke_corpus / "sft.jsonl", out, *more]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr[-3000:]
        return [json.loads((out / f"rank{rank}.json").read_text()) for rank in (0, 1)]

    return run


def test_two_process_ddp_makes_one_rl_step(run):
    first, second = run()
    assert first["step"] == second["step"] == 2
    assert not set(first["ids"]) & set(second["ids"])
    assert first["texts"] != second["texts"]
    assert first["weights"] == second["weights"] != first["before"]


def test_each_rank_logs_what_all_ranks_sampled_and_learnt_from(run):
    first, second = run()
    assert first["logged"] == second["logged"]
    for format in ("eips", "direct"):
        totals = [*first["totals"][format], *second["totals"][format]]
        assert first["logged"][f"reward/{format}/total"] == pytest.approx(sum(totals) / len(totals), rel=1e-5)
    assert first["lengths"] != second["lengths"] or first["totals"] != second["totals"]
    assert {"policy/entropy", "gate/eips/pos", "rollout/truncated"} <= set(first["logged"])


@pytest.mark.slow
def test_a_group_without_signal_on_one_rank_is_drawn_again_while_the_other_waits(run):
    first, second = run("2")
    assert first["asked"] == [8, 4, 4] and second["asked"] == [8]  # completions of two groups, then of the flat one
    assert first["resampled"] == [1.0, 1.0] and second["resampled"] == [0.0, 0.0]  # two rounds on both, and no more
    assert first["flat"] == second["flat"] == []
    assert first["step"] == second["step"] == 2
    assert first["weights"] == second["weights"] != first["before"]
