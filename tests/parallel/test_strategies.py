"""Two real processes under ZeRO and FSDP2 learn what one process with all clips learns."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from cases import CODEC, SAMPLED, STAGES, STEPS, UPDATES, clips_of, trained
from launched import two_ranks

STRATEGIES = ("zero1", "zero2", "zero3", "zero3_default", "fsdp")
CLIPPED = {"accumulate": 2, "clip_val": 0.05}
ADAPTED = ("sft", "align", "distill", "dr_sapo", "grpo")
"""Stages that are run with adapters as well; Align needs them."""


def case(strategy: str, kind: str, lora: bool = False, **more) -> dict:
    return {"strategy": strategy, "kind": kind, "lora": lora or kind == "align", **more}


SOME = [
    *(case(strategy, kind) for kind in ("dr_sapo", "distill") for strategy in ("zero2", "zero3", "fsdp")),
    *(case(strategy, "flat") for strategy in ("zero3", "fsdp")),
    *(case(strategy, "excerpts") for strategy in ("zero3", "fsdp")),
    *(case(strategy, "sft", **CLIPPED) for strategy in ("zero2", "zero3", "fsdp")),
    *(case(strategy, "align") for strategy in ("zero3", "fsdp")),
    case("zero2", "speak"),
]
ALL = [
    *(case(strategy, kind) for kind in STAGES for strategy in ("zero2", "zero3", "fsdp")),
    *(case(strategy, kind) for kind in ("sft", "dr_sapo", "distill") for strategy in ("zero1", "zero3_default")),
    *(case(strategy, kind, lora=True) for kind in ADAPTED for strategy in ("zero1", "zero3", "fsdp")),
    *(case(strategy, "sft", lora=True, **CLIPPED) for strategy in STRATEGIES),
    *(case(strategy, "dr_sapo", **CLIPPED) for strategy in ("zero1", "zero2", "zero3", "fsdp")),
    *(case(strategy, "grpo", **CLIPPED) for strategy in ("zero2", "zero3")),
    *(case(strategy, kind) for kind in ("sft", "dr_sapo") for strategy in ("zero2_offload", "zero3_offload")),
]
REST = [each for each in dict.fromkeys(map(json.dumps, ALL)) if json.loads(each) not in SOME]
REST = list(map(json.loads, REST))


@pytest.fixture(scope="module")
def folder(tiny_policy_dir, smoke_corpus, tmp_path_factory) -> Path:
    """The tiny policy with an end token that is drawn often, so that completions are of different lengths."""
    from cogrl.models.qwen2_audio import Qwen2Audio

    policy, clips = Qwen2Audio(str(tiny_policy_dir)).load(), clips_of(smoke_corpus / "sft.jsonl")
    prompts = policy.encode_prompts(["go"] * len(clips), [c.waveform for c in clips], [c.example.id for c in clips])
    with torch.no_grad():
        states = policy.token_states(prompts, policy.encode_targets([c.example.targets["direct"] for c in clips]))
        mean = states.hidden.mean(0)
        policy.lm_head_weight[policy.end_ids[0]] = 4.0 * mean / mean.square().sum()
    out = tmp_path_factory.mktemp("ragged") / "policy"
    policy.save(out)
    CODEC.save(out / "codec")
    return out


@pytest.fixture(scope="module")
def run(folder, smoke_corpus, tmp_path_factory):
    """`run(cases)`: what both ranks saw of each case."""

    def run(cases: list[dict]) -> list[tuple[dict, dict]]:
        out, manifest = tmp_path_factory.mktemp("ranks"), smoke_corpus / "sft.jsonl"
        ended = two_ranks(Path(__file__).with_name("ranks.py"), folder, manifest, out, json.dumps(cases))
        assert [end.returncode for end in ended] == [0, 0], "\n".join(end.stderr[-2000:] for end in ended)
        return list(zip(*(json.loads((out / f"rank{rank}.json").read_text()) for rank in (0, 1)), strict=True))

    return run


@pytest.fixture(scope="module")
def alone(folder, smoke_corpus):
    """`alone(case)`: the losses of one process with the clips of both ranks."""
    clips = clips_of(smoke_corpus / "sft.jsonl")

    @cache
    def losses(key: str) -> list[float]:
        return trained(folder=str(folder), clips=clips, rank=None, **json.loads(key))[1]

    return lambda case: losses(json.dumps({name: value for name, value in case.items() if name != "strategy"}))


def check(cases, run, alone) -> None:
    seen = run(cases)
    assert len(seen) == len(cases)
    for case, (first, second) in zip(cases, seen, strict=True):
        both = [(a + b) / 2 for a, b in zip(first["losses"], second["losses"], strict=True)]
        assert both == pytest.approx(alone(case), rel=2e-6, abs=1e-5), case
        assert len(both) == STEPS * case.get("accumulate", 1) and len(set(both)) == len(both), case
        if case["strategy"] in ("zero3", "fsdp", "zero3_offload"):
            assert first["held_whole"] == second["held_whole"] == 0, case
        if case["kind"] == "dr_sapo":
            assert len({*first["lengths"], *second["lengths"]}) > 2, case
        rollouts = dict.fromkeys(SAMPLED, STEPS * case.get("accumulate", 1) / UPDATES)
        phases = {"distill": STEPS, "align": STEPS, **rollouts}
        if case["strategy"].startswith("zero3"):
            assert first["gathers"] == second["gathers"] == phases.get(case["kind"], 0), case
        if case["kind"] == "flat":
            assert not any(second["losses"]) and any(first["losses"]), case


def test_two_ranks_learn_what_one_process_learns(run, alone):
    check(SOME, run, alone)


@pytest.mark.slow
def test_two_ranks_learn_what_one_process_learns_with_every_stage_and_strategy(run, alone):
    check(REST, run, alone)
