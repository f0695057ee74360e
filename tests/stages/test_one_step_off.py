"""One step off: the next batch is drawn by a server while this one trains, and by which weights is known."""

import json

import pytest
import pytorch_lightning as pl
import torch
from vllm_server import VLLMStandIn

from cogrl.callbacks.rollout_table import RolloutTable
from cogrl.data.repeating_loader import following
from cogrl.models.reference import logprobs_of
from cogrl.rollout import HFEngine, Sampling
from cogrl.rollout.engine import BackgroundEngine
from cogrl.rollout.vllm import VLLMEngine
from cogrl.stages import Grpo
from cogrl.stages.counterfactuals import Counterfactuals
from cogrl.stages.objective import Objective
from cogrl.stages.optim import Optim
from cogrl.types import ClipBatch, Scores


class Letters:
    """The share of a completion's characters that are an e."""

    def score(self, answers) -> Scores:
        total = torch.tensor([answer.text.count("e") / max(1, len(answer.text)) for answer in answers])
        return Scores(total + torch.linspace(0, 0.1, len(answers)), {})


@pytest.fixture(scope="module")
def server(tiny_policy_dir):
    with VLLMStandIn(str(tiny_policy_dir)) as server:
        yield server


def stage_of(policy, server, **settings):
    settings = {"objective": Objective("grpo"), "engine": VLLMEngine(server.base_url, startup_s=60.0)} | settings
    shared = {"sampling": Sampling(max_new_tokens=3), "optim": Optim(lr=3e-2), "formats": ("direct",)}
    return Grpo(policy, group_size=2, reward=Letters(), updates_per_rollout=2, **shared, **settings)


def fit(stage, clips, batches, looks_ahead=True, **settings):
    """Some batches of two clips each, in an epoch; returns `[step, version, greatest distance of the engine's
    log-probabilities from those of the policy before the update]` of each rollout."""
    seen, score = [], stage.score

    def watched(rollouts, *more):
        distance = (logprobs_of(stage.policy, rollouts, 1.0, 2) - rollouts.sampling_logprobs).abs().max().item()
        seen.append((stage.global_step, rollouts.policy_version, distance))
        return score(rollouts, *more)

    stage.score = watched
    found = [ClipBatch([clips[i % 4], clips[(i + 1) % 4]]) for i in range(batches)]
    found = list(following(found)) if looks_ahead else found
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(max_epochs=1, accelerator="cpu", enable_model_summary=False, **quiet, **settings)
    stage._trainer = trainer
    loader = torch.utils.data.DataLoader([each for each in found for _ in range(2)], batch_size=None)
    trainer.fit(stage, loader)
    return seen


def test_the_next_batch_is_drawn_by_the_weights_from_before_this_ones_updates(server, policy, clips):
    stage = stage_of(policy, server, one_step_off=True)
    assert isinstance(stage.engine, BackgroundEngine)
    seen = fit(stage, clips, batches=3)
    assert [row[:2] for row in seen] == [(0, 0), (2, 0), (4, 2)]
    assert seen[0][2] < 1e-4 < 1e-3 < min(seen[1][2], seen[2][2])
    assert stage.ahead.pending is None


def test_two_rollouts_by_the_same_weights_are_both_in_the_table(server, policy, clips, tmp_path):
    table = RolloutTable(every_n_rollouts=1)
    fit(stage_of(policy, server, one_step_off=True), clips, 3, default_root_dir=tmp_path, callbacks=[table])
    files = sorted(tmp_path.glob("rollouts/*.jsonl"))
    records = [json.loads(file.read_text().splitlines()[0]) for file in files]
    assert [file.stem for file in files] == ["000000", "000002", "000004"]
    assert [record["id"] for record in records] == [clip.example.id for clip in clips[:3]]
    assert [record["step"] for record in records] == [0, 0, 2]  # of the weights that drew them


def test_in_step_each_batch_is_drawn_by_the_weights_of_its_step(server, policy, clips):
    seen = fit(stage_of(policy, server), clips, batches=2)
    assert [row[:2] for row in seen] == [(0, 0), (2, 2)] and max(row[2] for row in seen) < 1e-4


def test_with_is_cap_the_old_logprobs_are_those_before_the_update(server, policy, clips):
    stage = stage_of(policy, server, one_step_off=True, objective=Objective("grpo", is_cap=2.0))
    fit(stage, clips, batches=2)
    old, drawn = stage.rollouts.old_logprobs, stage.rollouts.sampling_logprobs
    assert stage.rollouts.policy_version == 0 and (old - drawn).abs().max() > 1e-3


def test_rollouts_begun_for_other_clips_are_not_used(server, policy, clips):
    stage = stage_of(policy, server, one_step_off=True)
    stage.engine.sync(policy)
    stage.ahead.put(clips[:1], stage.engine.begin(policy, clips[:1], ["direct"], stage.sampling))
    assert stage.ahead.take(clips[1:2]) is None and stage.ahead.pending is None


def test_what_asks_the_engine_again_and_an_engine_in_this_process_are_refused(server, policy):
    with pytest.raises(ValueError, match="one_step_off and resamples"):
        stage_of(policy, server, one_step_off=True, resamples=1)
    with pytest.raises(ValueError, match="one_step_off and counterfactuals"):
        stage_of(policy, server, one_step_off=True, counterfactuals=Counterfactuals(without_controllers=True))
    with pytest.raises(ValueError, match="HFEngine draws them from the policy itself"):
        stage_of(policy, server, one_step_off=True, engine=HFEngine())
