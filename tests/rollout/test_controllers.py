"""What each thing that a controller may do does to the completions, and what is refused."""

import numpy as np
import pytest
import torch
from interruptions import WORDS, Forbid, RandomInsertions, Scripted, sharpened

from cogrl.formats import format_named
from cogrl.rollout import Abort, Controller, Excerpt, HFEngine, Sampling, Tokens
from cogrl.rollout.running import RunningRows
from cogrl.rollout.shared_rows import SharedRows
from cogrl.types import Role, Span

S, F, L, A, B = Role.SAMPLED, Role.FORCED, Role.LATENT, Role.AUDIO, Role.BENT


@pytest.fixture
def policy(policy, monkeypatch):
    return sharpened(policy, monkeypatch)


def sampled(policy, clips, *controllers, group_size=1, max_new_tokens=6, **settings):
    """Completions that only end where they are cut."""
    sampling, controllers = Sampling(max_new_tokens=max_new_tokens), [Forbid(policy.end_ids), *controllers]
    formats = ["eips"] * len(clips)
    return HFEngine().sample(policy, clips, formats, sampling, group_size, controllers=controllers, **settings)


def roles_of(rollouts, row):
    """The roles of a row, runs of audio as one."""
    roles = [Role(int(role)) for role in rollouts.completions.roles[row] if role != Role.PAD]
    return [role for i, role in enumerate(roles) if role != A or roles[i - 1] != A]


def test_a_controller_that_does_nothing_changes_nothing(policy, clips):
    def drawn(*controllers):
        generator, sampling = torch.Generator().manual_seed(1), Sampling(max_new_tokens=20)
        formats = ["eips", "direct", "eips", "direct"]
        return HFEngine().sample(policy, clips, formats, sampling, 4, generator=generator, controllers=controllers)

    without, inert = drawn(), drawn(Controller(), Controller())
    assert torch.equal(without.completions.ids, inert.completions.ids) and without.texts == inert.texts
    assert torch.equal(without.sampling_logprobs, inert.sampling_logprobs) and without.finish == inert.finish


def test_insertions_stand_behind_the_token_they_follow_in_the_order_of_the_controllers(policy, clips):
    clip = clips[0].waveform[:8000]
    first = Scripted({(0, 2): [Tokens([7, 8]), Excerpt(clip, Span(0.0, 0.5))], (1, 1): [Tokens([9], Role.LATENT)]})
    second = Scripted({(0, 2): [Tokens([6], Role.LATENT)], (0, 4): [Tokens([5])]})
    rollouts = sampled(policy, clips[:2], first, second)
    assert roles_of(rollouts, 0) == [S, S, F, F, F, A, F, L, S, S, F, S, S]  # markers are forced
    assert roles_of(rollouts, 1) == [S, L, S, S, S, S, S]
    ids, (before, behind) = rollouts.completions.ids, policy.audio_markers
    frames = int(policy.audio_token_counts(torch.tensor([8000])))
    inserted = [7, 8, *before, *[policy.audio_token_id] * frames, *behind, 6]
    assert ids[0, 2 : 2 + len(inserted)].tolist() == inserted and ids[1, 1] == 9
    assert rollouts.spans == [(Span(0.0, 0.5),), ()] and rollouts.completions.clip_counts == (1, 0)


def test_the_text_for_rewards_is_that_of_the_drawn_tokens(policy, clips):
    script = {(0, 1): [Tokens([7, 8])], (0, 3): [Excerpt(clips[1].waveform)]}
    rollouts = sampled(policy, clips[:1], Scripted(script))
    drawn = rollouts.completions.ids[rollouts.completions.mask]
    assert len(drawn) == 6 and set(drawn.tolist()) <= set(WORDS)
    assert rollouts.texts == [policy.tokenizer.decode(drawn)]


def test_what_is_inserted_does_not_count_as_drawn(policy, clips):
    rollouts = sampled(policy, clips[:1], Scripted({(0, 1): [Tokens([7] * 9)]}), max_new_tokens=4)
    assert rollouts.completions.mask.sum() == 4 and rollouts.completions.ids.shape == (1, 13)
    assert rollouts.finish == ["length"]


def test_an_abort_ends_one_completion_and_leaves_the_others(policy, clips):
    rollouts = sampled(policy, clips[:1], Scripted({(1, 2): [Tokens([7]), Abort()]}), group_size=3)
    assert rollouts.finish == ["length", "abort", "length"] and rollouts.finished.tolist() == [False] * 3
    assert rollouts.completions.mask.sum(1).tolist() == [6, 2, 6] and roles_of(rollouts, 1) == [S, S]


def test_a_completion_without_a_position_left_is_cut_before_the_insertion(policy, clips, monkeypatch):
    instruction = format_named("eips").instruction(clips[0].example)
    prompt = len(policy.encode_prompts([instruction], [clips[0].waveform], ["x"]).input_ids[0])
    longest = prompt + 10
    monkeypatch.setattr(type(policy), "max_positions", longest)
    script = {(0, 2): [Tokens([7] * 8)], (1, 2): [Tokens([7] * 7)], (2, 2): [Tokens([7] * 6)]}
    rollouts = sampled(policy, clips[:1], Scripted(script), group_size=3, max_new_tokens=9)
    lengths = (rollouts.completions.roles != Role.PAD).sum(1)
    assert lengths.tolist() == [2, 10, 10] and rollouts.completions.mask.sum(1).tolist() == [2, 3, 4]
    assert rollouts.finish == ["length"] * 3


class BendsEverySecond(Controller):
    """Makes one word certain for the even completions."""

    def adjust(self, logits, rows):
        bent = rows % 2 == 0
        logits = logits.clone()
        logits[bent, WORDS[3]] += 100.0
        return logits, bent


@torch.no_grad()
def test_what_a_bent_row_draws_is_in_the_text_and_does_not_train(policy, clips):
    rollouts = sampled(policy, clips[:1], BendsEverySecond(), group_size=2)
    completions = rollouts.completions
    assert roles_of(rollouts, 0) == [B] * 6 and roles_of(rollouts, 1) == [S] * 6
    assert completions.mask.sum(1).tolist() == [0, 6] and completions.ids[0].tolist() == [WORDS[3]] * 6
    assert rollouts.texts[0] == policy.tokenizer.decode([WORDS[3]] * 6)
    assert rollouts.sampling_logprobs[0].abs().max() < 1e-4  # it was certain under what it was drawn from
    scored = policy.token_logprobs(rollouts.prompts, completions, group_size=2).logprobs
    assert (scored[0] == 0).all() and (scored[1] < 0).all()


@torch.no_grad()
def test_a_forbidden_token_leaves_the_log_probs_of_what_was_drawn_from(policy, clips):
    rollouts = sampled(policy, clips[:2], group_size=2)
    scored = policy.token_logprobs(rollouts.prompts, rollouts.completions, group_size=2).logprobs
    missing = scored - rollouts.sampling_logprobs  # log of what the forbidden tokens would have had left to the others
    assert (missing < 0).all() and missing.exp().min() > 0.5
    assert set(rollouts.completions.ids.unique().tolist()) <= set(WORDS)


def test_a_control_is_heard_again_in_place_of_the_clip(policy, clips):
    silence = np.zeros(16_000, dtype=np.float32)
    inputs = []
    controller = RandomInsertions(0, often=1.0)
    begin = controller.begin
    controller.begin = lambda policy, given, size: (inputs.extend(given), begin(policy, given, size))
    sampled(policy, clips[:1], controller, inputs=[silence])
    assert len(inputs) == 1 and inputs[0] is silence


def test_an_insertion_into_a_completion_that_has_ended_is_refused(policy, clips):
    class Late(Scripted):
        def after(self, tokens, logprobs, rows):
            return super().after(tokens, logprobs, rows) | {7: [Tokens([5])]}

    with pytest.raises(ValueError, match=r"Late\.after inserts into completion 7, which has ended or does not exist"):
        sampled(policy, clips[:1], Late({}))


def test_a_clip_that_can_not_be_heard_whole_is_refused_and_the_policy_trains_on(policy, clips):
    policy.train()
    long = np.zeros(policy.sampling_rate * 40, dtype=np.float32)
    with pytest.raises(ValueError, match=r"a controller inserts a clip that does not fit: 40\.00 s of audio"):
        sampled(policy, clips[:1], Scripted({(0, 1): [Excerpt(long)]}))
    assert policy.training


@torch.no_grad()
def test_the_cache_stays_in_proportion_to_the_longest_row(policy, clips, monkeypatch):
    """One row after another inserts a lot: together they would make the cache as wide as all of them."""
    widths, policy.share_prompt = [], False
    feed = RunningRows.feed

    def spy(running, embeds, real):
        feed(running, embeds, real)
        widths.append(running.mask.shape[1] / int(running.lengths.max()))

    monkeypatch.setattr(RunningRows, "feed", spy)
    script = {(row, 1 + row): [Tokens([100 + row] * 80)] for row in range(8)}
    rollouts = sampled(policy, clips[1:2], Scripted(script), group_size=8, max_new_tokens=12)
    assert len(widths) == 8 and max(widths) <= 2 and min(widths[1:]) == 1  # gaps were closed
    assert [sum(roles_of(rollouts, row).count(role) for role in (S, F)) for row in range(8)] == [92] * 8
    completions = rollouts.completions
    scored = policy.token_logprobs(rollouts.prompts, completions, group_size=8).logprobs
    drift = (scored - rollouts.sampling_logprobs)[completions.mask]
    assert drift.max() <= 1e-4 and drift.exp().min() > 0.5  # the forbidden end token apart


def test_markers_are_those_of_the_chat_template(make):
    policy = make()
    (before,), (behind,) = policy.audio_markers
    assert policy.tokenizer.convert_ids_to_tokens([before, behind]) == ["<|audio_bos|>", "<|audio_eos|>"]


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [
        (SharedRows, [(4,), (24,), (4,), (31,), (4,)]),
        (RunningRows, [(4, 1), (3, 1), (1, 21), (4, 1), (4, 10), (4, 1)]),  # three of four are most of them: one pass
    ],
)
def test_rows_that_get_nothing_do_not_compute_the_places_of_those_that_do(policy, clips, monkeypatch, kind, shapes):
    seen, run, policy.share_prompt = [], kind._run, kind is SharedRows

    def spy(running, embeds, *more):
        seen.append(tuple(embeds.shape[:-1]))
        return run(running, embeds, *more)

    monkeypatch.setattr(kind, "_run", spy)
    script = {(0, 2): [Tokens([7] * 20)], **{(row, 4): [Tokens([8] * 9)] for row in range(3)}}
    rollouts = sampled(policy, clips[:1], Scripted(script), group_size=4)
    assert seen == shapes
    assert [roles_of(rollouts, row).count(F) for row in range(4)] == [29, 9, 9, 0]
