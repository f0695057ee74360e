"""Rounds are interleaved, warm up once, and leave no gradients behind."""

from types import SimpleNamespace

import pytest
import torch
from cogrl_bench import linear_logprob, memory, timing
from cogrl_bench.device import Roofline, measure
from cogrl_bench.operation import Head


def recorded(name, order):
    def call(problem):
        order.append((name, torch.is_grad_enabled()))
        return {"objective": problem["hidden"].sum()}

    return call


def test_every_round_runs_every_provider_and_changes_who_goes_first(setting):
    problem, order = linear_logprob.problem(setting()), []
    calls = {name: recorded(name, order) for name in "abc"}
    times = timing.rounds(calls, problem, ("full",), repeats=3)
    assert [name for name, _ in order] == list("abcbcacababc")
    assert all(len(found["full"]) == 3 for found in times.values())  # the first of four rounds warmed up
    assert problem["hidden"].grad is None


def test_scoring_runs_without_gradient_and_training_once_for_three_modes(setting):
    problem, order = linear_logprob.problem(setting()), []
    times = timing.rounds({"a": recorded("a", order)}, problem, ("score", "fwd", "bwd", "full"), repeats=1)["a"]
    assert [grad for _, grad in order] == [False, True] * 2
    assert times["full"] == [times["fwd"][0] + times["bwd"][0]]


def test_only_the_modes_asked_for_are_run(setting):
    problem, order = linear_logprob.problem(setting()), []
    assert set(timing.rounds({"a": recorded("a", order)}, problem, ("score",), repeats=1)["a"]) == {"score"}
    assert [grad for _, grad in order] == [False] * 2


def test_the_ratio_is_that_of_pairs_of_one_round():
    # both twice as slow in the second round: the ratio of each pair is 2, whatever the machine did
    assert timing.ratio([1.0, 2.0, 1.0], [2.0, 4.0, 2.0]) == 2.0
    assert timing.quantiles([float(i) for i in range(11)]) == timing.Quantiles(2.0, 5.0, 8.0)


def test_the_roofline_is_the_slower_of_copying_and_multiplying():
    roofline = Roofline(bandwidth=1e9, matmul=1e12)
    assert roofline.least_ms(flops=1e12, size=1.0) == pytest.approx(1000)
    assert roofline.least_ms(flops=1.0, size=1e9) == pytest.approx(1000)
    found = measure(torch.device("cpu"), torch.float32, repeats=1)
    assert found.bandwidth > 1e8 and found.matmul > 1e8


def test_the_least_work_counts_the_products_that_are_needed(setting):
    n, d, v = 60, 24, 301
    assert linear_logprob.work(setting(), "score").flops == 2 * n * d * v
    assert linear_logprob.work(setting(), "full").flops == 6 * n * d * v
    assert linear_logprob.work(setting(frozen_head=True), "full").flops == 4 * n * d * v


@pytest.mark.skipif(not memory.Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_peak_memory_on_a_cpu_sees_the_logits_of_the_reference_and_few_of_ours(setting):
    chosen = setting(tokens=1024, head=Head(32, 8192))
    problem = SimpleNamespace(setting=chosen)
    logits = 1024 * 8192 * 4 / 2**20
    plain = memory.peaks_mb("linear_logprob", "reference", None, problem, ("score", "full"))
    ours = memory.peaks_mb("linear_logprob", "cogrl_chunked", None, problem, ("score", "full"))
    assert 2 * logits < plain["full"] < 6 * logits
    assert ours["full"] < logits and ours["score"] < logits / 2


def test_a_process_that_dies_is_a_note_and_not_the_end(setting):
    problem = SimpleNamespace(setting=setting())
    with pytest.raises(RuntimeError, match="status 1: KeyError"):
        memory.peaks_mb("linear_logprob", "no such provider", None, problem, ("full",))
