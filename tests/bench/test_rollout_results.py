"""Sampling and the GRPO step among the other operations: the plain loop's tokens, log-probabilities and gradients."""

from dataclasses import replace

import pytest
import torch
from cogrl_bench import grouped_results, rollout, rollout_results
from cogrl_bench.plan import Plan
from cogrl_bench.run import providers

TINY = replace(grouped_results.SMALL, completion=6, group=2, vocab=64, width=32, layers=1, heads=2, kv_heads=1)
TINY = replace(TINY, intermediate=32, tower_width=16, tower_layers=1)


@pytest.fixture
def plan():
    return Plan(("rollout",), torch.device("cpu"), torch.float32, repeats=1, memory=False)


@pytest.mark.parametrize(("name", "mode"), [("rollout", "score"), ("grpo_step", "full")])
def test_all_passes_agree_and_are_timed(plan, name, mode):
    results = rollout_results.results(name, TINY, plan)
    assert [result.provider for result in results] == providers(name)
    assert all(result.timed and list(result.times) == [mode] for result in results)
    assert results[0].ratios == {mode: 1.0} and results[-1].ratios[mode] > 0


def test_the_tokens_that_are_compared_are_not_all_the_same():
    assert len(rollout.generated(rollout.problem(TINY)).unique()) > 1


def test_an_engine_that_reads_another_prompt_is_not_timed(plan, monkeypatch):
    def deaf(given):
        audio = {key: value * (key != "input_features") for key, value in given.group.prompts.audio.items()}
        quiet = replace(given.group, prompts=replace(given.group.prompts, audio=audio))
        return rollout.learning(rollout.our_step)(replace(given, group=quiet))

    monkeypatch.setitem(rollout.PASSES["grpo_step"], "shared", deaf)
    *_, shared = rollout_results.results("grpo_step", TINY, plan)
    assert shared.status.startswith("WRONG, not timed: ") and not shared.times
