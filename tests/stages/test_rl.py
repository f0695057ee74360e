"""The loop: sample -> score -> credit -> update, driven by Lightning's automatic optimisation."""

import copy
import warnings

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from cogrl.models.lora import Lora
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.rollout.sampling import Sampling
from cogrl.stages import DrSapo, Grpo
from cogrl.stages.objective import Objective
from cogrl.stages.optim import Optim
from cogrl.types import ClipBatch, Scores


class CountsTokens:
    """A reward with a known optimum: the share of a completion's characters that are one letter."""

    def __init__(self, letter: str = "e", scale_b: float = 1.0) -> None:
        self.letter, self.scale_b = letter, scale_b

    def score(self, answers) -> Scores:
        values = [answer.text.count(self.letter) / max(1, len(answer.text)) for answer in answers]
        scales = [self.scale_b if answer.format == "direct" else 1.0 for answer in answers]
        total = torch.tensor([v * s for v, s in zip(values, scales, strict=True)])
        return Scores(total, {"letters": total})


class Constant:
    def score(self, answers) -> Scores:
        return Scores(torch.full((len(answers),), 0.7), {})


class Failing:
    """Every third reward fails."""

    def score(self, answers) -> Scores:
        total = torch.linspace(0, 1, len(answers))
        total[::3] = torch.nan
        return Scores(total, {})


def batches(clips, repeats, n):
    return DataLoader([ClipBatch(clips)] * (repeats * n), batch_size=None)


def fit(stage, clips, steps, accumulate=1, **trainer):
    trainer = pl.Trainer(
        max_steps=steps,
        accumulate_grad_batches=accumulate,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        **trainer,
    )
    stage._trainer = trainer
    trainer.fit(stage, batches(clips, stage.steps_per_batch, steps))
    return trainer


def drifts(stage):
    """Filled by a fit: the mean |log ratio| of each update."""
    found, log_update = [], stage.log_update
    stage.log_update = lambda metrics: found.append(metrics["log_ratio_abs"].item()) or log_update(metrics)
    return found


def stage_of(kind, policy, reward, **kwargs):
    kwargs = {"group_size": 4, "sampling": Sampling(max_new_tokens=6), "optim": Optim(lr=1e-3)} | kwargs
    return kind(policy, reward=reward, **kwargs)


@pytest.mark.parametrize("kind", [DrSapo, Grpo])
def test_rollouts_are_drawn_once_for_every_so_many_updates_and_each_completion_is_used_once(kind, policy, clips):
    stage = stage_of(kind, policy, CountsTokens(), updates_per_rollout=2)
    seen, used = [], []
    sample, update = stage.sample, stage.update
    stage.sample = lambda *args: seen.append(stage.global_step) or sample(*args)
    stage.update = lambda part: used.append((stage.global_step, part.policy_version, len(part))) or update(part)
    fit(stage, clips, steps=6)
    assert seen == [0, 2, 4]
    assert used == [(0, 0, 8), (1, 0, 8), (2, 2, 8), (3, 2, 8), (4, 4, 8), (5, 4, 8)]


def test_a_second_update_is_off_policy_and_the_first_is_not(policy, clips):
    stage = stage_of(DrSapo, policy, CountsTokens(), updates_per_rollout=2, optim=Optim(lr=1e-2))
    drift = drifts(stage)
    fit(stage, clips, steps=2)
    assert drift[0] < 1e-4 < 1e-3 < drift[1]


def test_adapter_dropout_does_not_come_between_sampling_and_scoring(tiny_policy_dir, clips):
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    policy = Qwen2Audio(str(tiny_policy_dir), lora=Lora(dropout=0.5), gradient_checkpointing=True).load()
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.3)
    stage = stage_of(DrSapo, policy, CountsTokens())
    drift = drifts(stage)
    fit(stage, clips, steps=1)
    assert policy.model.training and drift[0] < 1e-4


@pytest.mark.parametrize("kind", [DrSapo, Grpo])
def test_equal_rewards_leave_every_weight_as_it_was(kind, policy, clips):
    before = copy.deepcopy(policy.state_dict())
    fit(stage_of(kind, policy, Constant()), clips, steps=2)
    assert all(torch.equal(value, before[name]) for name, value in policy.state_dict().items())


def test_a_failed_reward_trains_nothing_and_does_not_move_its_group(policy, clips):
    stage = stage_of(DrSapo, policy, Failing())
    fit(stage, clips, steps=1)
    failed = stage.scores.total.isnan()
    assert failed.any() and (stage.rollouts.advantages[failed] == 0).all()
    group = stage.scores.total.view(-1, 4)[0]
    alone = group[group.isfinite()]
    expected = (alone - alone.mean()) / alone.std(correction=0)
    assert torch.allclose(stage.rollouts.advantages[:4][group.isfinite()], expected, rtol=1e-3)


def test_centred_advantages_are_the_distance_from_the_mean_of_what_did_not_fail(policy, clips):
    stage = stage_of(Grpo, policy, Failing(), objective=Objective("dr_grpo"), advantages="group_centred")
    fit(stage, clips, steps=1)
    rewards, advantages = stage.scores.total.view(-1, 4), stage.rollouts.advantages.view(-1, 4)
    expected = (rewards - rewards.nanmean(1, keepdim=True)).nan_to_num()
    assert torch.allclose(advantages, expected, atol=1e-6) and 0 < advantages.abs().max() < 0.5


def test_leave_one_out_compares_with_the_mean_of_the_others_that_did_not_fail(policy, clips):
    stage = stage_of(Grpo, policy, Failing(), advantages="leave_one_out")
    fit(stage, clips, steps=1)
    for rewards, found in zip(stage.scores.total.view(-1, 4), stage.rollouts.advantages.view(-1, 4), strict=True):
        for i in range(4):
            others = [r.item() for j, r in enumerate(rewards) if j != i and r.isfinite()]
            expected = 0.0 if rewards[i].isnan() or not others else rewards[i].item() - sum(others) / len(others)
            assert found[i].item() == pytest.approx(expected, abs=1e-6)
    assert stage.rollouts.advantages.any() and stage.scores.total.isnan().any()


def test_scaling_the_rewards_of_one_format_leaves_the_other_alone(policy, clips):
    stages = []
    for scale in (1.0, 10.0):
        torch.manual_seed(0)
        stage = stage_of(DrSapo, copy.deepcopy(policy), CountsTokens(scale_b=scale))
        fit(stage, clips, steps=1)
        stages.append(stage.rollouts)
    a, b = stages
    rows = torch.tensor([format == "eips" for format in a.row_formats])
    assert torch.equal(a.completions.ids, b.completions.ids)
    assert torch.equal(a.advantages[rows], b.advantages[rows]) and a.advantages[rows].any()


@pytest.mark.parametrize("kind", [DrSapo, Grpo])
def test_accumulating_two_half_batches_equals_one_full_batch(kind, policy, clips, monkeypatch):
    monkeypatch.setattr(torch, "randperm", torch.arange)
    weights = []
    for accumulate in (1, 2):
        torch.manual_seed(0)
        own = copy.deepcopy(policy)
        stage = stage_of(kind, own, CountsTokens(), updates_per_rollout=2, optim=Optim(lr=1e-3, betas=(0.0, 0.0)))
        stage.configure_optimizers = lambda own=own: torch.optim.SGD(own.parameters(), lr=1.0)
        fit(stage, clips, steps=2, accumulate=accumulate)
        weights.append(torch.cat([p.detach().flatten() for p in own.parameters()]))
    assert torch.allclose(*weights, atol=1e-6)
    start = torch.cat([p.detach().flatten() for p in policy.parameters()])
    assert (weights[0] - start).abs().max() > 1e-4


def test_the_reward_rises(policy, clips):
    torch.manual_seed(0)
    stage = stage_of(
        DrSapo, policy, CountsTokens(), group_size=16, sampling=Sampling(max_new_tokens=8), optim=Optim(lr=5e-3)
    )
    means = []
    score = stage.score

    def spy(*args):
        scores = score(*args)
        means.append(scores.total.mean().item())
        return scores

    stage.score = spy
    fit(stage, clips, steps=40)
    assert sum(means[-4:]) / 4 > 2 * sum(means[:4]) / 4 + 0.02


def test_prompts_that_do_not_divide_into_the_updates_are_refused(policy, clips):
    with pytest.raises(ValueError, match="3 prompts a batch can not be split into 2"):
        fit(stage_of(DrSapo, policy, CountsTokens(), updates_per_rollout=2), clips[:3], steps=1)


def test_an_inert_gate_is_said_aloud(policy):
    with pytest.warns(UserWarning, match="inert"):
        stage_of(DrSapo, policy, CountsTokens(), updates_per_rollout=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stage_of(DrSapo, policy, CountsTokens(), updates_per_rollout=2)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"group_size": 1}, "at least 2"),
        ({"updates_per_rollout": 3, "passes": 2}, "not a multiple"),
        ({"updates_per_rollout": 0}, "must be at least 1"),
        ({"passes": 0}, "must be at least 1"),
        ({"formats": ()}, "formats in use"),
        ({"formats": ("eips",), "format_weights": {"direct": 0.5}}, "formats in use"),
    ],
)
def test_impossible_loops_are_refused(policy, bad, message):
    with pytest.raises(ValueError, match=message):
        stage_of(DrSapo, policy, CountsTokens(), **bad)


class FlatAtFirst:
    """Every group is flat on its first scoring; later ones are not. Counts what it is asked."""

    def __init__(self, rounds: int) -> None:
        self.rounds, self.asked = rounds, []

    def score(self, answers) -> Scores:
        self.asked.append([answer.example.id for answer in answers])
        values = torch.linspace(0, 1, len(answers))
        groups = values.view(-1, 4).clone()
        if len(self.asked) <= self.rounds:
            groups[1 if len(self.asked) == 1 else 0 :] = 0.5  # the first group varies from the start
        return Scores(groups.flatten(), {"term": groups.flatten()})


def test_groups_without_signal_are_drawn_again_and_the_others_kept(policy, clips):
    reward = FlatAtFirst(rounds=1)
    stage = stage_of(DrSapo, policy, reward, resamples=3, optim=Optim(lr=0.0))
    fit(stage, clips, steps=1)
    first, second = reward.asked
    assert len(first) == 16 and second == first[4:]
    assert (stage.rollouts.advantages.view(4, 4) != 0).any(1).all()
    assert torch.equal(stage.scores.total[4:], torch.linspace(0, 1, 12))
    assert torch.equal(stage.scores.terms["term"], stage.scores.total)
    part = stage.rollouts
    scored = policy.token_logprobs(part.prompts, part.completions, stage.sampling.temperature, 4)
    mask = part.completions.mask
    assert (scored.logprobs - part.sampling_logprobs)[mask].abs().max() < 1e-4
    assert part.texts == [policy.tokenizer.decode(i[m][: len(i[m]) - int(f)]) for i, m, f in rows_of(part)]


def rows_of(rollouts):
    return zip(rollouts.completions.ids, rollouts.completions.mask, rollouts.finished, strict=True)


def test_drawing_again_ends_after_its_bound(policy, clips):
    reward = FlatAtFirst(rounds=99)
    stage = stage_of(DrSapo, policy, reward, resamples=2)
    fit(stage, clips, steps=1)
    assert len(reward.asked) == 3
    assert (stage.rollouts.advantages.view(4, 4)[1:] == 0).all()


def test_a_second_draw_uses_other_dice(policy):
    stage = stage_of(DrSapo, policy, Constant())
    draws = [torch.rand(4, generator=stage.generator(attempt)).tolist() for attempt in (0, 1, 0)]
    assert draws[0] == draws[2] != draws[1]


def test_a_format_can_weigh_less_and_keeps_its_own_scale_otherwise(policy, clips):
    found = []
    for weights in (None, {"direct": 0.25}):
        torch.manual_seed(0)
        stage = stage_of(DrSapo, copy.deepcopy(policy), CountsTokens(), format_weights=weights, optim=Optim(lr=0.0))
        fit(stage, clips, steps=1)
        found.append(stage.rollouts.advantages.view(-1, 4))
    assert torch.equal(found[0][0::2], found[1][0::2])
    assert torch.allclose(found[0][1::2] * 0.25, found[1][1::2]) and found[0][1::2].any()


def test_variance_below_the_tolerance_is_no_signal(policy, clips):
    stage = stage_of(DrSapo, policy, FlatAtFirst(rounds=0), variance_tolerance=1.0)
    fit(stage, clips, steps=1)
    assert (stage.rollouts.advantages == 0).all()


def test_each_format_can_have_its_own_temperatures(policy, clips):
    objective = Objective("sapo", tau_pos={"eips": 1.0, "direct": 10.0}, tau_neg=1.05)
    stage = stage_of(DrSapo, policy, CountsTokens(), objective=objective)
    fit(stage, clips, steps=1)
    loss = objective.loss(stage.rollouts.row_formats, stage.formats, limit=6)
    assert loss.tau_pos.tolist() == [1.0] * 4 + [10.0] * 4 + [1.0] * 4 + [10.0] * 4
    assert loss.tau_neg == 1.05 and loss.n_routes == 2


@pytest.mark.parametrize("bad", [{"eips": 1.0}, {"eips": 1.0, "direct": -1.0}, 0.0])
def test_temperatures_that_miss_a_format_or_are_not_positive_are_refused(policy, bad):
    with pytest.raises(ValueError, match="tau_pos"):
        stage_of(DrSapo, policy, Constant(), objective=Objective("sapo", tau_pos=bad))


def test_a_mean_over_tokens_counts_those_of_the_whole_rollout(policy, clips, monkeypatch):
    """Micro-batches of short and of long completions: dividing each by its own count would weigh short ones more."""
    dapo = Objective("dapo")
    stage = stage_of(Grpo, policy, CountsTokens(), objective=dapo, updates_per_rollout=1, optim=Optim(lr=0.0))
    counts, policy_loss = [], policy.policy_loss
    monkeypatch.setattr(
        policy,
        "policy_loss",
        lambda *args, **kwargs: counts.append(kwargs["num_tokens"]) or policy_loss(*args, **kwargs),
    )
    fit(stage, clips, steps=1, accumulate=2)
    tokens = stage.rollouts.completions.mask.sum().item()
    assert counts == [tokens / 2, tokens / 2]
