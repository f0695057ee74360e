"""Completions that were heard segments again: what was sampled is what is scored, and only what was drawn trains. (En:
defects of Echo's public code.)
"""

from dataclasses import replace

import pytest
import torch
from citing import written
from interruptions import sharpened
from test_traces import by_hugging_face, predictors, scored
from whole_window import whole_window

from cogrl.lm_head import PolicyLossConfig, TokenStates, policy_loss
from cogrl.models.lora import Lora
from cogrl.rollout.controllers import Relisten
from cogrl.types import Role, join_clips

GROUP = 3
LONG = " and so it goes on and on, and on"
ROWS = [
    [2, "<seg>0, 1</seg>", 3, "<seg>1.5, 2</seg>", 4],
    ["<seg>1.5, 2</seg>", 6],
    [12],
    ["<seg>0.1, 0.4</seg>", 9],
    ["<seg>0, 9</seg>" + LONG, 1],
    ["<seg>0.1, 0.4</seg>", 1, "<seg>0.05, 0.25</seg>", 3],
]


def relistened(policy, clips, rows=ROWS, **how):
    """Rollouts of two clips, some of which were heard again; they may end by themselves, and some are cut."""
    return written(policy, clips[:2], rows, Relisten(), group_size=GROUP, may_end=True, **how)


VARIANTS = {
    "plain": {},
    "lora": {"lora": Lora(dropout=0.0)},
    "lora, frozen tower": {"lora": Lora(dropout=0.0), "train_audio_tower": False},
    "checkpointing": {"gradient_checkpointing": True},
}


@pytest.fixture(params=VARIANTS)
def policy(request, make, monkeypatch):
    """With its adapters, where it has some, no longer at zero; checkpointing is at work in training mode alone."""
    if "lora" in request.param:
        pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    policy = sharpened(make(**VARIANTS[request.param]), monkeypatch)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora" in name:
                parameter.normal_(0, 0.2)
    return policy.train()


def test_what_was_sampled_is_what_is_scored_packed_and_repeated(policy, clips):
    rollouts = relistened(policy, clips)
    completions = rollouts.completions
    assert completions.clip_counts[1:5] == (1, 0, 1, 0) and completions.clip_counts[5] > 0
    with torch.no_grad():
        expected = by_hugging_face(policy.eval(), rollouts)
    policy.train()
    drawn = rollouts.sampling_logprobs * completions.mask
    torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-4)
    for share in (True, False):
        found = scored(policy, rollouts, share)
        assert found.requires_grad
        torch.testing.assert_close(found.detach(), expected, rtol=0, atol=1e-4)


def test_e12_gradients_reach_the_tower_through_what_is_heard_again_alone_unless_it_is_frozen(policy, clips):
    rollouts = relistened(policy, clips)
    embeds = policy.prompt_embeds(rollouts.prompts).detach()
    states = policy.token_states(rollouts.prompts, rollouts.completions, GROUP, embeds)
    states.hidden[states.rows].square().sum().backward()
    in_tower = [p for part in policy.audio_modules for p in part.parameters()]
    moved = [p for p in in_tower if p.grad is not None and p.grad.abs().sum() > 0]
    assert (len(moved) > 5) == policy.train_audio_tower
    if not policy.train_audio_tower:
        assert all(p.grad is None and not p.requires_grad for p in in_tower)


@pytest.fixture
def alone(make, monkeypatch):
    return sharpened(make(), monkeypatch)


@torch.no_grad()
def test_a_completion_alone_is_that_of_the_batch(alone, clips, leads):
    rows = [ROWS[0], ROWS[3]]
    together = written(alone, clips[:2], rows, Relisten(), greedy=True)
    for i in range(2):
        one = written(alone, clips[i : i + 1], rows[i : i + 1], Relisten(), greedy=True)
        n = one.completions.ids.shape[1]
        row = together.completions.rows(torch.tensor([i]))
        assert torch.equal(row.ids[:, :n], one.completions.ids) and torch.equal(row.roles[:, :n], one.completions.roles)
        assert together.spans[i] == one.spans[0] != ()
        theirs = together.sampling_logprobs[i : i + 1, :n]
        torch.testing.assert_close(theirs, one.sampling_logprobs, rtol=0, atol=1e-4)
    assert min(leads) > 1e-5


@torch.no_grad()
@pytest.mark.parametrize("share", [True, False])
def test_two_segments_that_change_places_change_the_loss(alone, clips, share):
    rows = [[2, "<seg>0, 1</seg>", 3, "<seg>1.5, 2.5</seg>", 4]] * GROUP
    rollouts = written(alone, clips[:1], rows, Relisten(), group_size=GROUP)
    completions = rollouts.completions
    assert completions.clip_counts == (2,) * GROUP
    order = torch.tensor([1, 0, 2, 3, 4, 5])  # of the first completion
    audio = {name: value[order] for name, value in completions.audio.items()}
    swapped = replace(rollouts, completions=replace(completions, audio=audio))
    loss, other = (-scored(alone, one, share).sum(1) / completions.mask.sum(1) for one in (rollouts, swapped))
    assert (loss - other).abs()[0] > 1e-3 and (loss - other).abs()[1:].max() < 1e-5


def by_row(policy, rollouts):
    """Log-probabilities and entropies of each completion's sampled tokens, by the model's own forward."""
    found = []
    for row in range(len(rollouts)):
        prompt = rollouts.prompts.select(torch.tensor([row // GROUP]))
        own = rollouts.completions.rows(torch.tensor([row]))
        start = int(prompt.attention_mask.sum())
        ids = torch.cat([prompt.input_ids[prompt.attention_mask.bool()], own.ids[own.roles != Role.PAD]])[None]
        audio = whole_window(policy, join_clips([prompt.audio, own.audio]))
        logits = policy.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **audio).logits
        logits = (logits[0, start - 1 : -1] + policy.lm_head_bias)[own.mask[0, : ids.shape[1] - start]]
        logprobs = logits.log_softmax(-1)
        chosen = logprobs.gather(1, own.ids[own.mask][:, None]).squeeze(1)
        found.append((chosen, -(logprobs.exp() * logprobs).sum(-1)))
    return found


@pytest.mark.parametrize("denominator", ["sequence_mean", "token_mean"])
def test_e4_the_policy_gradient_kl_entropy_and_denominator_are_of_sampled_tokens_alone(alone, clips, denominator):
    """Against the formula, written over the sampled tokens and nothing else."""
    rollouts = relistened(alone, clips)
    policy, completions = alone.double(), rollouts.completions
    audio = {n: v.double() if v.is_floating_point() else v for n, v in completions.audio.items()}
    completions = replace(completions, audio=audio)
    prompts = {n: v.double() if v.is_floating_point() else v for n, v in rollouts.prompts.audio.items()}
    rollouts = replace(rollouts, completions=completions, prompts=replace(rollouts.prompts, audio=prompts))
    generator = torch.Generator().manual_seed(0)
    noise = 0.3 * torch.randn(2, *completions.ids.shape, generator=generator).double()
    old, ref = rollouts.sampling_logprobs.double() + noise  # 0 is not what stands where nothing was drawn
    advantages = torch.linspace(-1, 2, len(rollouts)).double()
    config = PolicyLossConfig("grpo", reduction=denominator, kl_coef=0.1, entropy_coef=0.05)
    states = policy.token_states(rollouts.prompts, completions, GROUP)
    hidden = states.hidden.detach().requires_grad_()
    how = (completions.ids, completions.mask_on_host, old, advantages, config)
    out = policy_loss(
        TokenStates(hidden, states.rows), policy.lm_head_weight, *how, bias=policy.lm_head_bias, ref_logprobs=ref
    )
    out.loss.backward()
    terms = []
    for row, (new, entropy) in enumerate(by_row(policy, rollouts)):
        mask = completions.mask[row]
        ratio, away = (new - old[row, mask]).exp(), ref[row, mask] - new
        gain = torch.minimum(ratio * advantages[row], ratio.clamp(0.8, 1.2) * advantages[row])
        terms.append(-gain + 0.1 * (away.exp() - away - 1) - 0.05 * entropy)
    by_sequence = torch.stack([term.mean() for term in terms]).mean()
    expected = by_sequence if denominator == "sequence_mean" else torch.cat(terms).mean()
    assert out.loss.item() == pytest.approx(expected.item(), rel=1e-6)
    size, places, roles = hidden.grad.abs().sum(1), predictors(rollouts, True), completions.roles
    for role in (Role.AUDIO, Role.FORCED, Role.BENT):
        of_role = places[:, 1:][roles[:, 1:] == role]
        assert len(of_role) and (size[of_role[of_role >= 0]] == 0).all()
    assert set(size.nonzero().flatten().tolist()) <= set(places[roles == Role.SAMPLED].tolist())


def test_e5_the_end_token_trains_and_an_answer_that_was_cut_gets_none(alone, clips):
    rollouts = relistened(alone, clips)
    roles, ids = rollouts.completions.roles, rollouts.completions.ids
    ends = torch.isin(ids, torch.tensor(alone.end_ids)) & (roles == Role.SAMPLED)
    assert ends.any(1).tolist() == rollouts.finished.tolist() and 0 < rollouts.finished.sum() < len(rollouts)
    assert rollouts.completions.mask[ends].all()
    assert {rollouts.finish[row] for row in (~ends.any(1)).nonzero().flatten().tolist()} == {"length"}


@torch.no_grad()
def test_e7_a_cut_costs_its_own_length_and_not_the_window(alone, clips):
    rollouts = written(alone, clips[:1], ["<seg>1, 1.5</seg> a"], Relisten())
    mels = rollouts.completions.audio["input_features"].shape[-1]
    assert mels < 60 and alone.max_audio_s == 4  # of the window's 400
