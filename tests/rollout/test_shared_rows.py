"""Rows that share their prompt's keys: the values of rows that repeat it, without the copies."""

import functools
import random

import pytest
import torch
from interruptions import sharpened

from cogrl.rollout import HFEngine, Sampling
from cogrl.rollout.hf import running_rows
from cogrl.rollout.running import RunningRows
from cogrl.rollout.shared_rows import SharedRows

GROUP = 3


@pytest.fixture
def policy(make, monkeypatch):
    return sharpened(make(), monkeypatch).eval()


def prompts_of(policy, clips):
    return policy.encode_prompts(["Which emotion?"] * len(clips), [clip.waveform for clip in clips], ["x"] * len(clips))


def alike(shared, repeated):
    assert torch.equal(shared.lengths, repeated.lengths)
    torch.testing.assert_close(shared.hidden, repeated.hidden, rtol=0, atol=2e-5 * float(repeated.hidden.abs().max()))


def some_tokens(policy, rows, rng):
    """One to six a row, padded behind."""
    counts = torch.tensor([rng.choice([1, 1, 1, 6]) for _ in range(rows)])
    real = torch.arange(int(counts.max())) < counts[:, None]
    return policy.embed(torch.randint(100, 290, real.shape)), real


@torch.no_grad()
@pytest.mark.parametrize("seed", range(3))
def test_hidden_states_are_those_of_repeated_prompts_whoever_is_fed_or_leaves(policy, clips, seed):
    rng, prompts = random.Random(seed), prompts_of(policy, clips)
    pair = SharedRows(policy, prompts, GROUP), RunningRows(policy, prompts, GROUP)
    shared = pair[0]
    alike(*pair)
    for step in range(14):
        rows = len(shared.rows)
        if step % 3 == 2 and rows > 2:
            kept = torch.tensor(sorted(rng.sample(range(rows), rows - rng.randint(1, 2))))
            kept = (shared.prompt > 0).nonzero().squeeze(1) if step == 8 else kept  # of one prompt no row goes on
            for running in pair:
                running.keep(kept)
        rows = len(shared.rows)
        if step % 2:
            embeds, real = some_tokens(policy, rows, rng)
            for running in pair:
                running.feed(embeds, real)
        else:
            token = policy.embed(torch.randint(100, 290, (rows, 1)))
            for running in pair:
                running.feed_token(token)
        alike(*pair)
    assert len(shared.cache.owner) == len(clips) - 1


@torch.no_grad()
def test_a_prompt_is_held_once_and_so_is_each_token_of_its_rows(policy, clips):
    running = SharedRows(policy, prompts_of(policy, clips[:1]), GROUP)
    prompt = running.cache.places
    assert all(len(keys) == 1 for keys in running.cache.keys + running.cache.values)
    running.feed_token(policy.embed(torch.ones(GROUP, 1, dtype=torch.long)))
    assert running.cache.places == prompt + GROUP


@torch.no_grad()
def test_what_rows_that_left_have_written_is_given_up_before_it_is_a_quarter(policy, clips):
    running = SharedRows(policy, prompts_of(policy, clips[:2]), 6)
    for _ in range(20):
        running.feed_token(policy.embed(torch.ones(12, 1, dtype=torch.long)))
    before = running.cache.places
    running.keep(torch.tensor([0, 6]))
    needed = int(running.lengths.max())
    assert needed <= running.cache.places <= 1.25 * needed < before
    assert all(keys.shape[2] == running.cache.places for keys in running.cache.keys)


@torch.no_grad()
@pytest.mark.parametrize("kind", [SharedRows, RunningRows])
def test_nothing_is_computed_on_a_row_that_has_ended(policy, clips, monkeypatch, kind):
    fed, run, policy.share_prompt = [], kind._run, kind is SharedRows

    def spy(running, embeds, *more):
        fed.append(embeds.shape[:-1].numel())
        return run(running, embeds, *more)

    monkeypatch.setattr(kind, "_run", spy)
    generator = torch.Generator().manual_seed(0)
    formats = ["eips", "direct", "eips", "direct"]
    rollouts = HFEngine().sample(policy, clips, formats, Sampling(max_new_tokens=30), 4, generator=generator)
    lengths = rollouts.completions.mask.sum(1)
    assert lengths.min() < lengths.max() / 2
    assert fed == [int((lengths > step).sum()) for step in range(1, int(lengths.max()))]


@torch.no_grad()
def test_a_window_is_held_against_a_row_and_not_against_its_whole_group(policy, clips, monkeypatch):
    prompts, config = prompts_of(policy, clips[:1]), policy.decoder.config
    window = prompts.input_ids.shape[1] + 5
    for name in ("sliding_window", "max_position_embeddings"):
        monkeypatch.setattr(config, name, window, raising=False)
    for layer in policy.decoder.layers:
        monkeypatch.setattr(layer.self_attn, "sliding_window", window, raising=False)
    shared = running_rows(policy, prompts, GROUP)
    assert isinstance(shared, SharedRows)
    for _ in range(3):
        shared.feed_token(policy.embed(torch.ones(GROUP, 1, dtype=torch.long)))
    assert shared.cache.places > window > int(shared.lengths.max())


BEYOND = [("_attn_implementation", "eager"), ("sliding_window", 64), ("attn_logit_softcapping", 30.0)]


@pytest.mark.parametrize(("attribute", "value"), BEYOND)
def test_a_decoder_that_can_not_share_repeats_its_prompts(policy, clips, monkeypatch, attribute, value):
    make = functools.partial(running_rows, policy, prompts_of(policy, clips[:1]), GROUP)
    assert isinstance(make(), SharedRows)
    monkeypatch.setattr(policy.decoder.config, attribute, value, raising=False)
    assert isinstance(make(), RunningRows)
