"""The contract of an audio language model, on the real classes of every family."""

import functools
from itertools import chain

import numpy as np
import pytest
import torch
from format_instructions import INSTRUCTIONS
from policy_families import FAMILIES
from transformers import AutoTokenizer
from whole_window import whole_window

from cogrl.models.lora import Lora
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.qwen25_omni import Qwen25Omni
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling
from cogrl.types import Completions


@pytest.fixture(params=FAMILIES)
def make(request, make_policy):
    """A policy of every family."""
    return functools.partial(make_policy, request.param)


@pytest.fixture
def policy(make):
    return make()


def encoded(policy, clips, format="eips"):
    prompts = policy.encode_prompts(
        [INSTRUCTIONS[format]] * len(clips), [c.waveform for c in clips], [c.example.id for c in clips]
    )
    return prompts, policy.encode_targets([c.example.targets[format] for c in clips])


def logprobs(policy, clips, **kwargs):
    prompts, targets = encoded(policy, clips)
    return policy.token_logprobs(prompts, targets, **kwargs).logprobs, targets.mask


@torch.no_grad()
def test_log_probs_equal_those_of_the_hugging_face_forward(policy, clips):
    prompts, targets = encoded(policy, clips)
    ids = torch.cat([prompts.input_ids, targets.ids], 1)
    mask = torch.cat([prompts.attention_mask, targets.mask.long()], 1)
    logits = policy.model(input_ids=ids, attention_mask=mask, **whole_window(policy, prompts.audio)).logits
    logits[..., [policy.audio_token_id, *chain(*policy.audio_markers)]] = -torch.inf
    start = prompts.input_ids.shape[1]
    theirs = logits[:, start - 1 : -1].log_softmax(-1).gather(-1, targets.ids[..., None]).squeeze(-1)
    ours = policy.token_logprobs(prompts, targets).logprobs
    assert torch.allclose(ours[targets.mask], theirs[targets.mask], atol=1e-5)


@torch.no_grad()
def test_a_batch_of_one_equals_a_batch_of_many(policy, clips):
    together, mask = logprobs(policy, clips)
    for i, clip in enumerate(clips):
        alone, own_mask = logprobs(policy, [clip])
        assert torch.allclose(together[i][mask[i]], alone[0][own_mask[0]], atol=1e-5)


@torch.no_grad()
def test_swapping_two_clips_changes_the_log_probs(policy, clips):
    prompts, targets = encoded(policy, clips[:2])
    order = [1, 0]
    swapped = policy.encode_prompts(
        [INSTRUCTIONS["eips"]] * 2, [clips[i].waveform for i in order], [clips[i].example.id for i in order]
    )
    before = policy.token_logprobs(prompts, targets).logprobs
    after = policy.token_logprobs(swapped, targets).logprobs
    assert (before - after)[targets.mask].abs().max() > 1e-4


@torch.no_grad()
@pytest.mark.parametrize("share", [True, False])
def test_sampled_log_probs_are_the_teacher_forced_ones(make, clips, share):
    """Packed groups and repeated prompts, with several clips of different lengths in a batch."""
    policy = make(share_prompt=share)
    policy.lm_head_weight.mul_(8)  # a random head is nearly uniform: little would differ
    generator = torch.Generator().manual_seed(0)
    drawn = HFEngine().sample(policy, clips, ["direct"] * 4, Sampling(max_new_tokens=9), 3, generator=generator)
    scored = policy.token_logprobs(drawn.prompts, drawn.completions, group_size=3).logprobs
    torch.testing.assert_close(scored, drawn.sampling_logprobs, rtol=0, atol=2e-5)


@torch.no_grad()
def test_placeholders_are_as_many_as_the_encoder_makes_frames(policy):
    """At both ends of what is heard, and around the ends of windows and blocks of 1, 2 and 4 s."""
    seconds = (0.1, 0.13, 0.99, 1.0, 1.01, 1.99, 2.0, 2.02, 3.98, 3.99, 4.0, 4.01, 4.03, 8.0, 9.37)
    noise = np.random.default_rng(0).normal(size=160_000).astype(np.float32)
    waves = [noise[: round(16_000 * s)] for s in seconds if s <= policy.max_audio_s]
    frames, lengths = policy.audio_embeds(policy.audio_tensors(waves))
    assert lengths.tolist() == policy.audio_token_counts(torch.tensor([len(wave) for wave in waves])).tolist()
    assert frames.shape[1] == lengths.max() and frames.isfinite().all()


@torch.no_grad()
def test_half_precision_drifts_by_no_more_than_its_rounding(make, clips):
    exact, mask = logprobs(make(), clips)
    rounded, _ = logprobs(make(dtype="bfloat16"), clips)
    drift = (rounded - exact)[mask].abs()
    assert drift.max() < 0.1 and drift.mean() < 0.02


@torch.no_grad()
def test_a_saved_folder_opens_with_plain_transformers_and_generates(policy, clips, tmp_path):
    policy.save(tmp_path)
    prompts, _ = encoded(policy, clips[:2])
    plain = type(policy.model).from_pretrained(tmp_path).eval()
    given = {"input_ids": prompts.input_ids, "attention_mask": prompts.attention_mask}
    ids = plain.generate(**given, **whole_window(policy, prompts.audio), max_new_tokens=3, do_sample=False)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer("Oh, I see.").input_ids == policy.tokenizer("Oh, I see.").input_ids
    assert ids.shape[1] > prompts.input_ids.shape[1] and isinstance(tokenizer.decode(ids[0, -3:]), str)


def test_the_end_token_is_trained_and_padding_is_not(policy, clips):
    _, targets = encoded(policy, clips, "direct")
    last = targets.mask.sum(1) - 1
    assert (targets.ids[torch.arange(len(clips)), last] == policy.tokenizer.eos_token_id).all()
    assert not targets.mask[:, 1:][~targets.mask[:, :-1]].any()


def test_gradient_checkpointing_changes_no_gradient(make, clips):
    grads = []
    for checkpointing in (False, True):
        policy = make(gradient_checkpointing=checkpointing).train()
        values, mask = logprobs(policy, clips)
        values[mask].mean().backward()
        grads.append(torch.cat([p.grad.flatten() for p in policy.parameters() if p.grad is not None]))
    assert torch.allclose(*grads, rtol=1e-4, atol=1e-6)


def test_every_trainable_parameter_gets_a_gradient(policy, clips):
    values, mask = logprobs(policy, clips)
    values[mask].mean().backward()
    assert [n for n, p in policy.named_parameters() if p.requires_grad and p.grad is None] == []


def test_neither_the_placeholder_nor_a_marker_of_audio_has_a_probability(policy, clips):
    prompts, targets = encoded(policy, clips[:1])
    barred = [policy.audio_token_id, *chain(*policy.audio_markers)]
    assert len(set(barred)) == len(barred) >= 1
    for id in barred:
        ids = torch.full_like(targets.ids, id)
        values = policy.token_logprobs(prompts, Completions.from_mask(ids, targets.mask)).logprobs
        assert (values[targets.mask] < -1000).all()


def test_a_saved_folder_holds_the_same_weights_and_gives_the_same_log_probs(make, policy, clips, tmp_path):
    with torch.no_grad():
        policy.lm_head_weight.mul_(1.5)
        before, _ = logprobs(policy, clips)
        policy.save(tmp_path / "export")
        reloaded = make(str(tmp_path / "export"))
        after, _ = logprobs(reloaded, clips)
    weights, expected = reloaded.state_dict(), policy.state_dict()
    assert weights.keys() == expected.keys() and all(torch.equal(weights[name], expected[name]) for name in weights)
    assert torch.allclose(before, after, atol=1e-5)


def test_fresh_adapters_change_nothing_and_trained_ones_are_merged_on_save(make, policy, clips, tmp_path):
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    adapted = make(lora=Lora(dropout=0.0), train_audio_tower=False)
    with torch.no_grad():
        base, mask = logprobs(policy, clips)
        assert torch.allclose(base, logprobs(adapted, clips)[0], atol=1e-6)
        trained = [p for p in adapted.parameters() if p.requires_grad]
        assert trained and all("lora" in n for n, p in adapted.named_parameters() if p.requires_grad)
        for p in trained:
            p.normal_(0, 0.2)
        changed, _ = logprobs(adapted, clips)
        adapted.save(tmp_path / "export")
        merged, _ = logprobs(make(str(tmp_path / "export")), clips)
        assert (changed - base)[mask].abs().max() > 1e-2
        assert torch.allclose(changed, merged, atol=1e-4)
        assert torch.allclose(changed, logprobs(adapted, clips)[0], atol=1e-6)


def trained(policy) -> set[str]:
    return {name for name, p in policy.named_parameters() if p.requires_grad}


def test_what_is_frozen_is_what_was_asked_for(make):
    def names(**kwargs):
        return trained(make(**kwargs))

    everything = names()
    audio_parameters = {n for n in everything if "audio_tower" in n or "multi_modal_projector" in n}
    unused = ("embed_positions", "audio_bos_eos_token", "visual")
    assert audio_parameters and not any(part in n for n in everything for part in unused)
    assert names(train_language_model=False) == audio_parameters
    assert names(train_audio_tower=False) == {n for n in everything if "audio_tower" not in n}
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    with_tower, without = names(lora=Lora()), names(lora=Lora(), train_audio_tower=False)
    assert with_tower - without == audio_parameters and all("lora" in n for n in without) and without


def test_adapters_on_a_frozen_language_model_are_refused():
    with pytest.raises(ValueError, match="lora trains the language model"):
        Qwen2Audio("x", lora=Lora(), train_language_model=False)


@pytest.mark.parametrize("precision", ["autocast", "default"])
def test_what_is_heard_does_not_depend_on_the_training_precision(policy, clips, precision):
    expected = policy.audio_tensors([clip.waveform for clip in clips])["input_features"]
    if precision == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            tensors = policy.audio_tensors([clip.waveform for clip in clips])["input_features"]
    else:
        torch.set_default_dtype(torch.bfloat16)
        try:
            tensors = policy.audio_tensors([clip.waveform for clip in clips])["input_features"]
        finally:
            torch.set_default_dtype(torch.float32)
    assert tensors.dtype == torch.float32 and torch.allclose(tensors, expected, atol=1e-5)  # bfloat16: 1e-2


def test_a_clip_that_is_not_heard_whole_is_refused_by_name(policy):
    for seconds in (0.05, policy.max_audio_s + 0.5):
        wave = np.zeros(int(seconds * 16_000), dtype=np.float32)
        hears = f"this model hears 0.1 to {policy.max_audio_s:g} s"
        with pytest.raises(ValueError, match=rf"clip-7: .* s of audio; {hears}"):
            policy.encode_prompts(["Listen."], [wave], ["clip-7"])


def test_a_placeholder_written_into_the_instruction_is_refused(policy, clips):
    with pytest.raises(ValueError, match="must not contain the audio token"):
        policy.encode_prompts([f"{policy.processor.audio_token} Listen."], [clips[0].waveform], ["clip-7"])


def test_a_folder_without_a_model_names_the_command_that_makes_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="cogrl build tiny-model"):
        Qwen2Audio(str(tmp_path)).load()


def test_an_unknown_dtype_is_refused():
    with pytest.raises(ValueError, match="dtype='float17'"):
        Qwen2Audio("x", dtype="float17")


@torch.no_grad()
def test_a_small_step_moves_the_adapters_of_a_half_precision_policy(make):
    """A rate of 1e-6 on weights of 1e-2 is a change of one in ten thousand; bfloat16 knows one in 256."""
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    policy = make(lora=Lora(dropout=0.0), train_audio_tower=False, dtype="bfloat16")
    trained = [p for p in policy.parameters() if p.requires_grad]
    before = [p.normal_(0, 0.02).clone() for p in trained]
    for p in trained:
        p.grad = torch.ones_like(p)
    torch.optim.AdamW(trained, lr=1e-6, weight_decay=0.0).step()
    assert all((p != b).float().mean() > 0.9 for p, b in zip(trained, before, strict=True))


@torch.no_grad()
def test_saving_leaves_the_weights_under_the_adapters_as_they_are(make, tmp_path):
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    policy = make(lora=Lora(dropout=0.0), train_audio_tower=False, dtype="bfloat16")
    for p in policy.parameters():
        if p.requires_grad:
            p.normal_(0, 0.2)
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    policy.save(tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in policy.state_dict().items())
    layer = policy.model.model.language_model.layers[0].self_attn.q_proj
    added = layer.base_layer.weight.float() + layer.get_delta_weight("default").float()
    merged = make(str(tmp_path), dtype="bfloat16").model.model.language_model.layers[0].self_attn.q_proj.weight
    assert (merged != added.bfloat16()).float().mean() < 0.01  # where the sum lies on the edge of two bfloat16


def test_a_module_that_trains_in_full_is_not_frozen_with_the_tower_it_lies_in(tiny_omni_dir):
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    lora = Lora(in_full=r".*audio_tower\.proj")
    policy = Qwen25Omni(str(tiny_omni_dir), lora=lora, train_audio_tower=False).load()
    assert {n for n in trained(policy) if "lora" not in n} == {
        f"model.model.audio_tower.proj.{x}" for x in ("weight", "bias")
    }
