"""Training with a judge whose server fails: the effect of each failure, as the reward's docstring says."""

import copy
import math

import pytest
import pytorch_lightning as pl
import torch
from chat_server import ALWAYS, ChatServer
from torch.utils.data import DataLoader

from cogrl.chat.client import ChatClient
from cogrl.chat.endpoint import Endpoint
from cogrl.chat.retry import RetryPolicy
from cogrl.rewards.http_judge import HttpJudgeReward
from cogrl.rollout.sampling import Sampling
from cogrl.stages import DrSapo, Grpo
from cogrl.stages.optim import Optim
from cogrl.types import ClipBatch


@pytest.fixture(scope="module")
def server():
    with ChatServer() as server:
        yield server


def fit(policy, clips, server, kind=DrSapo, steps=2, deadline_s=30.0, attempt_s=10.0, max_failures=1.0, window=256):
    """Two optimiser steps on one rollout of four groups, both formats."""
    retry = RetryPolicy(attempts=2, attempt_s=attempt_s, pause_s=0.01)
    reward = HttpJudgeReward(ChatClient(Endpoint(server.base_url, "judge"), retry), deadline_s, max_failures, window)
    stage = kind(policy, reward=reward, group_size=4, sampling=Sampling(max_new_tokens=6), optim=Optim(lr=1e-3))
    stage._trainer = trainer = pl.Trainer(
        max_steps=steps,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    trainer.fit(stage, DataLoader([ClipBatch(clips)] * stage.steps_per_batch, batch_size=None))
    return trainer.callback_metrics | {"step": trainer.global_step}, reward


def moved(policy, before):
    return any(not torch.equal(value, before[name]) for name, value in policy.state_dict().items())


# fault, how often it hits each question -> share of failures, requests for a question
OUTCOMES = [
    ("", 0, 0.0, 1),
    ("comments", ALWAYS, 0.0, 1),
    ("fences", ALWAYS, 0.0, 1),
    ("prose", ALWAYS, 0.0, 1),
    ("500", 1, 0.0, 2),
    ("429", 1, 0.0, 2),
    ("reset", 1, 0.0, 2),
    ("half_a_body", 1, 0.0, 2),
    ("malformed", 1, 0.0, 2),
    ("cut", 1, 0.0, 2),
    ("500", ALWAYS, 1.0, 2),
    ("reset", ALWAYS, 1.0, 2),
    ("malformed", ALWAYS, 1.0, 2),
    ("cut", ALWAYS, 1.0, 2),
    ("out_of_range", ALWAYS, 1.0, 2),
    ("two_answers", ALWAYS, 1.0, 2),
    ("401", ALWAYS, 1.0, 1),
]


@pytest.mark.sample(4)
@pytest.mark.parametrize(("fault", "times", "failed", "requests"), OUTCOMES)
def test_training_survives_a_judge_with(fault, times, failed, requests, policy, clips, server):
    server.behave(fault, times, retry_after="0")
    before = copy.deepcopy(policy.state_dict())
    metrics, _ = fit(policy, clips, server)
    stats = server.stats()
    assert metrics["step"] == 2 and math.isfinite(metrics["train/loss"])
    assert metrics["judge/failed"] == failed
    assert stats["distinct"] > 1 and stats["requests"] == metrics["judge/requests"] == requests * stats["distinct"]
    assert moved(policy, before) == (failed == 0.0)  # without a reward nothing is learned, and nothing is spoilt


@pytest.mark.parametrize("kind", [DrSapo, Grpo])
def test_no_rollout_step_waits_for_a_silent_judge_beyond_its_deadline(kind, policy, clips, server):
    server.behave("stall")
    metrics, _ = fit(policy, clips, server, kind, deadline_s=0.5, attempt_s=300.0)
    assert metrics["step"] == 2 and metrics["judge/failed"] == 1.0
    assert 0.5 <= metrics["judge/wait_s"] < 30  # an attempt alone would have had 300 s


def test_a_slow_judge_is_waited_for_within_the_deadline(policy, clips, server):
    server.behave(delay_s=0.3)
    metrics, reward = fit(policy, clips, server)
    assert metrics["judge/failed"] == 0.0 and metrics["judge/latency_s"] >= 0.3
    assert server.stats()["most_at_once"] > 1 and reward.usage.answered > 1


def test_a_judge_that_fails_too_often_ends_the_run_with_the_reason(policy, clips, server):
    server.behave("503", retry_after="0")
    with pytest.raises(RuntimeError, match=r"max_failures=0\.1 of window=8") as error:
        fit(policy, clips, server, max_failures=0.1, window=8)
    assert isinstance(error.value.__cause__, ConnectionError) and "status 503" in str(error.value.__cause__)


def test_a_judge_that_fails_on_one_reply_costs_no_more_than_that(policy, clips, server):
    asked = []
    for unlucky in ("nobody says this", None):
        server.behave("400", only=unlucky or asked[0])
        torch.manual_seed(0)  # the same rollouts twice
        metrics, _ = fit(copy.deepcopy(policy), clips, server, steps=1)
        asked.append(server.stats()["last"]["body"]["messages"][-1]["content"])
    assert 0.0 < metrics["judge/failed"] < 1.0 and metrics["step"] == 1 and math.isfinite(metrics["train/loss"])
