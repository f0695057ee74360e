"""The grouped pass among the other operations: right or not timed, and the ratio against the plain pass."""

from dataclasses import replace

import pytest
import torch
from cogrl_bench import grouped, grouped_results
from cogrl_bench.plan import Plan
from cogrl_bench.run import providers

TINY = replace(grouped_results.SMALL, completion=4, group=2, vocab=64, width=32, layers=1, heads=2, kv_heads=1)
TINY = replace(TINY, intermediate=32, tower_width=16, tower_layers=1)


@pytest.fixture
def plan():
    return Plan(("grouped",), torch.device("cpu"), torch.float32, repeats=1, memory=False)


def test_all_passes_agree_and_are_timed(plan):
    plain, sliced, shared = grouped_results.results(TINY, plan)
    assert [r.provider for r in (plain, sliced, shared)] == providers("grouped")
    for result in (plain, sliced, shared):
        assert result.timed and {mode: len(times) for mode, times in result.times.items()} == dict.fromkeys(
            ("fwd", "bwd", "full"), 1
        )
    assert plain.ratios["full"] == 1.0
    assert shared.setting.tokens == 8 and "times fewer tokens" in shared.notes[0]


def test_a_pass_that_hears_another_prompt_is_not_timed(plan, monkeypatch):
    def deaf(given):
        quiet = {name: value * 0 + (name != "input_features") for name, value in given.prompts.audio.items()}
        return grouped.shared(replace(given, prompts=replace(given.prompts, audio=quiet)))

    monkeypatch.setitem(grouped.PASSES, grouped.OURS, deaf)
    *_, shared = grouped_results.results(TINY, plan)
    assert shared.status.startswith("WRONG, not timed: ") and not shared.times


def test_one_provider_alone_is_still_compared_with_the_plain_pass(plan):
    (only,) = grouped_results.results(TINY, replace(plan, providers=("cogrl_shared",)))
    assert only.timed and only.errors["logprobs"] < 1e-5 and only.ratios == {}


def test_tokens_are_shared_out_to_the_completions(plan):
    labels = [label for label, _ in grouped_results.jobs("grouped", replace(plan, tokens=(512, 1200)))]
    assert labels == ["grouped, 512 tokens", "grouped, 1200 tokens"]
