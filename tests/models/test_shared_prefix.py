"""Shared prompts against the Hugging Face forward with prompt and audio repeated for every completion."""

import pytest
import torch
from format_instructions import INSTRUCTIONS
from whole_window import whole_window

from cogrl.models.lora import Lora
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling
from cogrl.types import Completions

GROUP = 3
LENGTHS = [5, 1, 9, 0, 7, 7, 12, 2, 12, 3, 3, 3]
"""Of the completions of four prompts: uneven, even, one of a single token and one without any."""
IGNORED = 99
"""Under the mask, where no id has a meaning."""


@pytest.fixture
def policy(make):
    return sharpened(make())


def sharpened(policy):
    """Larger weights: with fresh ones attention is so uniform that every token gets the mean of its past."""
    with torch.no_grad():
        for name, parameter in policy.model.model.language_model.named_parameters():
            if name.endswith(("proj.weight", "base_layer.weight")):
                parameter.mul_(8)
    return policy


def batch(policy, clips, lengths=LENGTHS, seed=0):
    prompts = policy.encode_prompts(
        [INSTRUCTIONS["eips"]] * len(clips), [c.waveform for c in clips], [c.example.id for c in clips]
    )
    g = torch.Generator().manual_seed(seed)
    mask = torch.arange(max(lengths) + 1) < torch.tensor(lengths)[:, None]
    ids = torch.randint(100, 300, mask.shape, generator=g).masked_fill(~mask, IGNORED)
    return prompts, Completions.from_mask(ids, mask)


def by_hugging_face(policy, prompts, completions, group_size=GROUP):
    """Log-probabilities with everything repeated and every logit made, (b, t)."""
    rows = torch.arange(len(prompts)).repeat_interleave(group_size)
    repeated = prompts.select(rows)
    ids = torch.cat([repeated.input_ids, completions.ids], 1)
    mask = torch.cat([repeated.attention_mask, torch.ones_like(completions.ids)], 1)
    audio = whole_window(policy, repeated.audio)
    logits = policy.model(input_ids=ids, attention_mask=mask, use_cache=False, **audio).logits
    start = prompts.input_ids.shape[1]
    logprobs = (logits[:, start - 1 : -1] + policy.lm_head_bias).log_softmax(-1)
    return logprobs.gather(2, completions.ids[..., None]).squeeze(2) * completions.mask


def gradients(policy, values):
    """Of a weighted sum of `values`, by name."""
    policy.zero_grad()
    weights = torch.randn(values.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (values.double() * weights).sum().backward()
    return {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}


def worst(ours, theirs):
    """The largest relative difference of a gradient; one that vanishes is measured against all of them."""
    assert ours.keys() == theirs.keys()
    floor = 1e-3 * torch.stack([g.norm() for g in theirs.values()]).norm()
    return max(((ours[n] - g).norm() / torch.maximum(g.norm(), floor)).item() for n, g in theirs.items())


@pytest.mark.parametrize("settings", [{}, {"gradient_checkpointing": True}, {"lora": True}, {"share_prompt": False}])
def test_log_probs_and_all_gradients_are_those_of_repeated_prompts(make, clips, settings):
    if settings.pop("lora", False):
        pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
        settings = {"lora": Lora(dropout=0.0)}
    policy = sharpened(make(**settings).train())
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    prompts, completions = batch(policy, clips)
    ours = policy.token_logprobs(prompts, completions, group_size=GROUP).logprobs
    theirs = by_hugging_face(policy, prompts, completions)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    found, expected = gradients(policy, ours), gradients(policy, theirs)
    assert any("audio_tower" in name for name in found) and worst(found, expected) < 1e-5


def test_in_float64_they_agree_to_the_float32_norms_of_the_model(policy, clips):
    policy.double()
    prompts, completions = batch(policy, clips)
    ours = policy.token_logprobs(prompts, completions, group_size=GROUP).logprobs
    theirs = by_hugging_face(policy, prompts, completions)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-6)
    assert worst(gradients(policy, ours), gradients(policy, theirs)) < 5e-6


@torch.no_grad()
def test_a_group_alone_equals_the_group_in_a_batch(policy, clips):
    prompts, completions = batch(policy, clips)
    together = policy.token_logprobs(prompts, completions, group_size=GROUP)
    for i in range(len(clips)):
        rows = slice(i * GROUP, (i + 1) * GROUP)
        own = Completions.from_mask(completions.ids[rows], completions.mask[rows])
        alone = policy.token_logprobs(prompts.select(torch.tensor([i])), own, group_size=GROUP)
        torch.testing.assert_close(alone.logprobs, together.logprobs[rows], rtol=0, atol=1e-5)
        torch.testing.assert_close(alone.entropy, together.entropy[rows], rtol=0, atol=1e-5)


@torch.no_grad()
def test_two_completions_that_change_places_change_values_within_a_group_only(policy, clips):
    prompts, completions = batch(policy, clips)
    before = policy.token_logprobs(prompts, completions, group_size=GROUP).logprobs

    def swapped(a, b):
        order = torch.arange(len(LENGTHS))
        order[[a, b]] = torch.tensor([b, a])
        moved = Completions.from_mask(completions.ids[order], completions.mask[order])
        return policy.token_logprobs(prompts, moved, group_size=GROUP).logprobs[order]

    torch.testing.assert_close(swapped(0, 2), before, rtol=0, atol=1e-5)
    assert (swapped(2, 4) - before)[[2, 4]].abs().max() > 1e-3  # to another clip: another prompt


@torch.no_grad()
def test_nothing_leaks_between_completions_groups_or_from_behind_the_mask(policy, clips):
    prompts, completions = batch(policy, clips)
    before = policy.token_logprobs(prompts, completions, group_size=GROUP).logprobs

    def changed(prompts, ids):
        after = policy.token_logprobs(prompts, Completions.from_mask(ids, completions.mask), group_size=GROUP).logprobs
        return (after - before).abs().amax(1).gt(1e-5).nonzero().flatten().tolist()

    ids = completions.ids.clone()
    ids[4, 2] = 301
    assert changed(prompts, ids) == [4]
    ids = completions.ids.masked_fill(~completions.mask, 7)
    assert changed(prompts, ids) == []
    audio = {name: value.clone() for name, value in prompts.audio.items()}
    audio["input_features"][2] += 0.3
    assert changed(type(prompts)(prompts.input_ids, prompts.attention_mask, audio), completions.ids) == [6, 7, 8]


@torch.no_grad()
def test_a_gap_in_the_mask_is_read_but_does_not_train(policy, clips):
    prompts, completions = batch(policy, clips)
    mask = completions.mask.clone()
    mask[2, 3:5] = False
    ids = torch.where(completions.ids == IGNORED, 200, completions.ids)
    gapped = policy.token_logprobs(prompts, Completions.from_mask(ids, mask), group_size=GROUP).logprobs
    whole = policy.token_logprobs(prompts, Completions.from_mask(ids, completions.mask), group_size=GROUP).logprobs
    torch.testing.assert_close(gapped, whole * mask, rtol=0, atol=1e-5)
    assert (gapped[~mask] == 0).all()


def test_no_padding_and_no_repeated_prompt_reaches_the_model(policy, clips):
    prompts, completions = batch(policy, clips)
    encoded, read = [], []
    policy.audio_tower.register_forward_hook(lambda module, args, out: encoded.append(out[0].shape))
    policy.audio_embeds(prompts.audio)
    policy.model.model.language_model.layers[0].mlp.register_forward_hook(
        lambda _, args, out: read.append(args[0].shape)
    )
    states = policy.token_states(prompts, completions, GROUP)
    tokens = int(prompts.attention_mask.sum()) + sum(max(0, n - 1) for n in LENGTHS)
    assert encoded == [encoded[0]] * 2 and read[0][:2] == (1, tokens)
    assert states.hidden.shape[0] == tokens and len(states.rows) == sum(LENGTHS)


@torch.no_grad()
def test_fine_tuning_targets_use_the_same_path_one_to_a_prompt(policy, clips):
    prompts, completions = batch(policy, clips, [4, 9, 0, 6])
    ours = policy.token_logprobs(prompts, completions).logprobs
    torch.testing.assert_close(ours, by_hugging_face(policy, prompts, completions, 1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("share", [True, False])
def test_completions_without_a_trained_token_give_zero_gradients_and_no_error(policy, clips, share):
    policy.share_prompt = share
    prompts, completions = batch(policy, clips[:1], [2, 2])
    nothing = Completions.from_mask(completions.ids, torch.zeros_like(completions.mask))
    policy.token_logprobs(prompts, nothing, group_size=2).logprobs.sum().backward()
    trained = [p for p in policy.parameters() if p.requires_grad]
    assert all(p.grad is not None and (p.grad == 0).all() for p in trained)


@torch.no_grad()
@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("head", ["auto", "chunked", "reference"])
def test_what_was_sampled_is_what_is_trained(policy, clips, share, head):
    policy.share_prompt, policy.head_impl = share, head
    policy.lm_head_weight.mul_(8)
    generator = torch.Generator().manual_seed(0)
    rollouts = HFEngine().sample(
        policy, clips, ["eips", "direct", "eips", "direct"], Sampling(max_new_tokens=20), 4, generator=generator
    )
    scored = policy.token_logprobs(rollouts.prompts, rollouts.completions, group_size=4).logprobs
    torch.testing.assert_close(scored, rollouts.sampling_logprobs, rtol=0, atol=1e-5)
