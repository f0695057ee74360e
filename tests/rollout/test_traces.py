"""Completions that controllers interrupt and bend: what was sampled is what is scored, and nothing else trains."""

from dataclasses import replace

import pytest
import torch
from interruptions import LATENTS, Forbid, RandomBends, RandomInsertions, Scripted, pausing, sharpened
from whole_window import whole_window

from cogrl.lm_head import TokenStates, token_logprobs
from cogrl.rollout import Excerpt, HFEngine, Sampling
from cogrl.types import Role, join_clips

FORMATS = ["eips", "direct", "eips", "direct"]
GROUP = 3


@pytest.fixture
def policy(make, monkeypatch):
    return sharpened(make(), monkeypatch)


def traced(policy, clips, seed=0, group_size=GROUP, pauses=None, **settings):
    """Rollouts interrupted at random. Of the defaults some rows end and others are cut.

    With `pauses` (of `LATENTS`) they also pause or are given up where the policy is unsure, and some tokens are bent.
    """
    sampling = Sampling(**({"max_new_tokens": 14} | settings))
    generator = torch.Generator().manual_seed(seed)
    formats = FORMATS[: len(clips)]
    controllers = [RandomInsertions(seed)]
    if pauses:
        controllers += [RandomBends(seed), pausing(pauses, pause=0.11, abort=0.035)]
    return HFEngine().sample(policy, clips, formats, sampling, group_size, generator=generator, controllers=controllers)


def scored(policy, rollouts, share):
    policy.share_prompt = share
    return policy.token_logprobs(rollouts.prompts, rollouts.completions, group_size=rollouts.group_size).logprobs


def by_hugging_face(policy, rollouts):
    """Log-probabilities of every row alone by the model's own forward, all logits made, (b, t)."""
    completions, found = rollouts.completions, []
    for row in range(len(rollouts)):
        prompt = rollouts.prompts.select(torch.tensor([row // rollouts.group_size]))
        own = completions.rows(torch.tensor([row]))
        prompt_ids = prompt.input_ids[prompt.attention_mask.bool()]
        ids = torch.cat([prompt_ids, own.ids[own.roles != Role.PAD]])[None]
        audio = whole_window(policy, join_clips([prompt.audio, own.audio]))
        logits = policy.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **audio).logits
        logprobs = (logits[:, :-1] + policy.lm_head_bias).log_softmax(-1).gather(2, ids[:, 1:, None])[0, :, 0]
        logprobs = logprobs[len(prompt_ids) - 1 :]
        found.append(torch.nn.functional.pad(logprobs, (0, completions.ids.shape[1] - len(logprobs))))
    return torch.stack(found) * completions.mask


@torch.no_grad()
@pytest.mark.parametrize("pauses", [None, *LATENTS])
@pytest.mark.parametrize("seed", range(3))
def test_interrupted_completions_are_scored_as_they_were_sampled(policy, clips, seed, pauses):
    rollouts = traced(policy, clips, seed, pauses=pauses)
    roles = rollouts.completions.roles
    bent, ended = ({Role.BENT}, {"abort"}) if pauses else (set(), set())
    assert set(map(int, roles.unique())) == bent | {Role.PAD, Role.SAMPLED, Role.FORCED, Role.LATENT, Role.AUDIO}
    assert set(rollouts.finish) - ended == {"end", "length"} and len(set(rollouts.completions.clip_counts)) > 2
    expected = by_hugging_face(policy, rollouts)
    drawn = rollouts.sampling_logprobs * rollouts.completions.mask
    torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-4)
    for share in (True, False):
        torch.testing.assert_close(scored(policy, rollouts, share), expected, rtol=0, atol=1e-4)


def predictors(rollouts, share):
    """For each completion token the row of the hidden states from which it is predicted; -1: none is made."""
    completions, prompts, size = rollouts.completions, rollouts.prompts, rollouts.group_size
    b, t = completions.ids.shape
    if not share:
        s = prompts.input_ids.shape[1]
        return torch.arange(b)[:, None] * (s + t) + s - 1 + torch.arange(t)
    places, start = torch.full((b, t), -1), 0
    last_trained = (completions.mask * torch.arange(1, t + 1)).amax(1).tolist()
    for prompt, length in enumerate(prompts.attention_mask.sum(1).tolist()):
        start += length
        end_of_prompt = start - 1
        for row in range(prompt * size, (prompt + 1) * size):
            places[row, : last_trained[row]] = torch.arange(start - 1, start - 1 + last_trained[row])
            places[row, 0] = end_of_prompt
            start += last_trained[row] - 1
    return places


@pytest.mark.parametrize("pauses", list(LATENTS))
@pytest.mark.parametrize("share", [True, False])
def test_no_gradient_reaches_what_predicts_a_token_that_does_not_train(policy, clips, share, pauses):
    rollouts = traced(policy, clips, pauses=pauses)
    completions, policy.share_prompt = rollouts.completions, share
    states = policy.token_states(rollouts.prompts, completions, GROUP)
    hidden = states.hidden.detach().requires_grad_()
    out = token_logprobs(
        TokenStates(hidden, states.rows), policy.head.weight, completions.ids, completions.mask, bias=policy.head.bias
    )
    (out.logprobs.sum() + out.entropy.sum()).backward()
    size = hidden.grad.abs().sum(1)
    places, roles = predictors(rollouts, share), completions.roles
    for role in set(Role) - {Role.SAMPLED}:
        of_role = places[:, 1:][roles[:, 1:] == role]  # a group's first tokens have one predictor, the prompt's end
        assert len(of_role) and (size[of_role[of_role >= 0]] == 0).all(), role
    assert (size[places[roles == Role.SAMPLED]] > 0).all()
    ends = (completions.ids == policy.tokenizer.eos_token_id) & (roles == Role.SAMPLED)  # and not bent
    assert ends.any(1)[rollouts.finished].sum() > 1 and (size[places[ends]] > 0).all()
    # nothing else was touched: all the gradient there is belongs to sampled tokens
    touched = size.nonzero().flatten().tolist()
    assert set(touched) == set(places[roles == Role.SAMPLED].tolist())


@pytest.mark.parametrize("share", [True, False])
def test_all_gradients_are_those_of_the_models_own_forward(policy, clips, share):
    """The audio tower's too: inserted clips train it."""
    with torch.no_grad():
        rollouts = traced(policy, clips[:2], seed=1)
    policy.double()

    def gradients(logprobs):
        policy.zero_grad()
        weights = torch.linspace(-1, 1, logprobs.numel(), dtype=torch.float64).view_as(logprobs)
        (logprobs.double() * weights).sum().backward()
        return {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}

    ours = gradients(scored(policy, rollouts, share))
    theirs = gradients(by_hugging_face(policy, rollouts))
    assert ours.keys() == theirs.keys() and any("audio_tower" in name for name in ours)
    floor = 1e-3 * torch.stack([g.norm() for g in theirs.values()]).norm()
    for name, gradient in theirs.items():
        assert (ours[name] - gradient).norm() <= 1e-4 * torch.maximum(gradient.norm(), floor), name


@torch.no_grad()
def test_a_completion_alone_is_that_of_the_batch(policy, clips, leads):
    together = traced(policy, clips, seed=2, group_size=1, greedy=True, max_new_tokens=8)
    for i, clip in enumerate(clips):
        alone = HFEngine().sample(
            policy, [clip], [FORMATS[i]], Sampling(greedy=True, max_new_tokens=8), controllers=[RandomInsertions(2)]
        )
        row = together.completions.rows(torch.tensor([i]))
        n = alone.completions.ids.shape[1]
        assert torch.equal(row.roles[:, :n], alone.completions.roles) and not row.roles[:, n:].any()
        assert torch.equal(row.ids[:, :n], alone.completions.ids) and together.texts[i] == alone.texts[0]
        assert together.spans[i] == alone.spans[0] and together.finish[i] == alone.finish[0]
        theirs = together.sampling_logprobs[i : i + 1, :n]
        torch.testing.assert_close(theirs, alone.sampling_logprobs, rtol=0, atol=1e-4)
    assert min(leads) > 1e-5 and any(together.spans)  # rounding is some 1e-7 here


@torch.no_grad()
@pytest.mark.parametrize("share", [True, False])
def test_two_inserted_clips_that_change_places_change_the_log_probs(policy, clips, share):
    one, other = (clips[i].waveform[4000:12000] for i in (0, 2))
    script = Scripted({(0, 2): [Excerpt(one)], (1, 3): [Excerpt(other)]})
    controllers = [Forbid(policy.end_ids), script]
    rollouts = HFEngine().sample(
        policy, clips[:1], ["eips"], Sampling(max_new_tokens=6), GROUP, controllers=controllers
    )
    completions = rollouts.completions
    assert completions.clip_counts == (1, 1, 0)
    audio = {name: value.flip(0) for name, value in completions.audio.items()}
    swapped = replace(rollouts, completions=replace(completions, audio=audio))
    changed = (scored(policy, swapped, share) - scored(policy, rollouts, share)).abs()
    assert (changed.amax(1)[:2] > 1e-3).all() and changed[2].max() < 1e-5
    before_the_clip = torch.arange(changed.shape[1]) <= 1
    assert changed[0][before_the_clip].max() < 1e-5


@torch.no_grad()
def test_groups_of_an_interrupted_rollout_score_alone_as_together(policy, clips):
    rollouts = traced(policy, clips, seed=1)
    whole = scored(policy, rollouts, share=True)
    for i in (2, 0):
        part = rollouts.groups([i])
        torch.testing.assert_close(scored(policy, part, True), whole[rollouts.rows_of([i])], rtol=0, atol=1e-5)
    fresh = traced(policy, [clips[1]], seed=5)
    merged = rollouts.with_groups([1], replace(fresh, formats=["direct"]))
    own = scored(policy, fresh, share=True)
    rows = merged.rows_of([1])
    repeated = replace(merged, prompts=rollouts.groups([0, 1, 2, 3]).prompts)
    expected = by_hugging_face(policy, repeated)
    torch.testing.assert_close(scored(policy, repeated, True), expected, rtol=0, atol=1e-4)
    assert merged.spans[rows[0]] == fresh.spans[0] and own.shape[1] <= merged.completions.ids.shape[1]
