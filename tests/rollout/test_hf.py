"""What the engine says it sampled is what the trainer scores."""

import pytest
import torch

from cogrl.lm_head import TokenStates, head_operand, next_token_logits, token_logprobs
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling

FORMATS = ["eips", "direct", "eips", "direct"]


@pytest.fixture
def policy(make):
    return make()


@torch.no_grad()
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_sampled_log_probs_equal_teacher_forced_ones(policy, clips, temperature):
    torch.manual_seed(0)
    policy.lm_head_weight.mul_(8)  # peaked, so that the temperature matters
    sampling = Sampling(temperature=temperature, max_new_tokens=24)
    rollouts = HFEngine().sample(policy, clips, FORMATS, sampling, group_size=3)
    mask = rollouts.completions.mask
    scored = policy.token_logprobs(rollouts.prompts, rollouts.completions, temperature, group_size=3).logprobs
    assert torch.allclose(scored[mask], rollouts.sampling_logprobs[mask], atol=1e-4)
    other = policy.token_logprobs(rollouts.prompts, rollouts.completions, temperature + 0.3, group_size=3).logprobs
    assert (other - rollouts.sampling_logprobs)[mask].abs().max() > 1e-2


@torch.no_grad()
@pytest.mark.parametrize("autocast", [None, torch.bfloat16, torch.float16])
def test_sampling_and_scoring_share_float32_logits_under_autocast(policy, autocast):
    policy.lm_head_weight.mul_(8)
    head, bias = policy.lm_head_weight, policy.lm_head_bias
    hidden, targets = torch.randn(3, head.shape[1]), torch.tensor([[5], [6], [7]])
    with torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None):
        logits = next_token_logits(hidden, head_operand(head), bias)
        states = TokenStates(hidden, torch.arange(3))
        scored = token_logprobs(states, head, targets, torch.ones(3, 1, dtype=torch.bool), bias=bias).logprobs
    assert logits.dtype == torch.float32
    assert torch.allclose(logits.log_softmax(-1).gather(1, targets), scored, atol=1e-5)
    plain = (hidden @ head.T + bias).log_softmax(-1).gather(1, targets)
    assert ((plain - scored).abs().max() > 1e-4) == (autocast is not None)


@torch.no_grad()
def test_rows_of_a_group_belong_to_their_own_clip(policy, clips):
    """Group order mutation: with audio A,B,A,B against rows A,A,B,B the two log-probs would differ."""
    rollouts = HFEngine().sample(policy, clips, FORMATS, Sampling(max_new_tokens=8), group_size=2)
    whole = policy.token_logprobs(rollouts.prompts, rollouts.completions, group_size=2).logprobs
    for i in range(len(clips)):
        part = rollouts.groups([i])
        alone = policy.token_logprobs(part.prompts, part.completions, group_size=2).logprobs
        assert torch.allclose(alone, whole[2 * i : 2 * i + 2], atol=1e-5)
        assert part.clips[0] is clips[i] and part.formats == [FORMATS[i]]


@torch.no_grad()
def test_an_early_end_token_is_the_last_token_that_trains(policy, clips):
    torch.manual_seed(0)
    eos = policy.tokenizer.eos_token_id
    policy.lm_head_weight[eos] = policy.lm_head_weight.abs().mean(0) * 3  # makes the end token likely
    rollouts = HFEngine().sample(policy, clips, FORMATS, Sampling(max_new_tokens=40), group_size=8)
    mask, ids = rollouts.completions.mask, rollouts.completions.ids
    lengths = mask.sum(1)
    assert rollouts.finished.any() and len(set(lengths.tolist())) > 1
    rows = rollouts.finished.nonzero().squeeze(1)
    assert (ids[rows, lengths[rows] - 1] == eos).all()
    assert ((ids == eos) & mask).sum(1).max() == 1
    assert (rollouts.sampling_logprobs[~mask] == 0).all()
    assert (rollouts.sampling_logprobs[mask] < 0).all()


@torch.no_grad()
def test_rows_that_go_on_keep_their_prompt_and_tokens_when_others_leave(policy, clips, monkeypatch):
    torch.manual_seed(1)
    few = torch.full_like(policy.lm_head_bias, -1e4)
    few[[policy.tokenizer.eos_token_id, *range(300, 312)]] = 0.0  # one token in thirteen ends a row
    monkeypatch.setattr(type(policy), "lm_head_bias", few)
    rollouts = HFEngine().sample(policy, clips, FORMATS, Sampling(max_new_tokens=30), group_size=8)
    mask = rollouts.completions.mask
    lengths = mask.sum(1).sort().values
    assert lengths[len(lengths) // 2] < lengths[-1] - 4  # half of the rows left well before the last
    scored = policy.token_logprobs(rollouts.prompts, rollouts.completions, group_size=8).logprobs
    assert torch.allclose(scored[mask], rollouts.sampling_logprobs[mask], atol=1e-4)
    assert torch.equal(mask, torch.arange(mask.shape[1]) < mask.sum(1, keepdim=True))


def test_the_given_dice_alone_decide_what_is_drawn(policy, clips):
    def drawn(seed, elsewhere):
        torch.manual_seed(elsewhere)
        generator = torch.Generator().manual_seed(seed)
        sampling = Sampling(max_new_tokens=6)
        return HFEngine().sample(policy, clips, FORMATS, sampling, group_size=2, generator=generator).completions.ids

    assert torch.equal(drawn(1, 2), drawn(1, 3)) and not torch.equal(drawn(1, 2), drawn(2, 2))


@torch.no_grad()
def test_a_truncated_completion_is_not_finished(policy, clips):
    policy.lm_head_weight[policy.tokenizer.eos_token_id] = 0
    rollouts = HFEngine().sample(policy, clips[:1], ["direct"], Sampling(max_new_tokens=1), group_size=4)
    assert rollouts.completions.ids.shape == (4, 1)
    ended = rollouts.completions.ids[:, 0] == policy.tokenizer.eos_token_id
    assert torch.equal(rollouts.finished, ended)


@torch.no_grad()
def test_greedy_answers_are_the_arg_max_and_do_not_depend_on_the_batch(policy, clips, leads):
    greedy = Sampling(greedy=True, max_new_tokens=12)
    together = HFEngine().sample(policy, clips, FORMATS, greedy).texts
    alone = [HFEngine().sample(policy, [c], [r], greedy).texts[0] for c, r in zip(clips, FORMATS, strict=True)]
    assert together == alone and min(leads) > 1e-5  # rounding is some 1e-7 here


def test_the_audio_tower_runs_once_a_group(policy, clips):
    seen = []
    policy.audio_tower.register_forward_hook(lambda module, args, out: seen.append(out[0].shape))
    policy.audio_embeds(policy.audio_tensors([clip.waveform for clip in clips]))
    HFEngine().sample(policy, clips, FORMATS, Sampling(max_new_tokens=3), group_size=8)
    assert seen == [seen[0]] * 2


@pytest.mark.parametrize("bad", [{"temperature": 0.0}, {"temperature": -1.0}, {"max_new_tokens": 0}])
def test_impossible_sampling_is_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Sampling(**bad)
