"""The emotion module in a policy: what is added to the frames, what learns, and what is written and read back."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from format_instructions import INSTRUCTIONS
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from cogrl.models.emotion import EmotionSettings, read_encoder
from cogrl.models.emotion_mel import MelEmotion
from cogrl.models.lora import Lora
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.saved import saved_policy
from cogrl.models.teacher import teaching
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling
from cogrl.stages import Perceive, Sft
from cogrl.types import ClipBatch


@pytest.fixture
def policy(make):
    """Without the module."""
    return make()


@pytest.fixture
def build(make, emotion_dir):
    """A loaded policy of each family with the module; its projection is drawn, because a new one is zero."""

    def policy(settings=None, **kwargs):
        policy = make(emotion=settings or EmotionSettings(str(emotion_dir)), **kwargs)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            nn.init.normal_(policy.emotion.projection.weight, std=0.5)
        return policy

    return policy


def prompts_of(policy, clips):
    names = [clip.example.id for clip in clips]
    return policy.encode_prompts([INSTRUCTIONS["direct"]] * len(clips), [clip.waveform for clip in clips], names)


def logprobs(policy, clips, **kwargs):
    targets = policy.encode_targets([clip.example.targets["direct"] for clip in clips])
    return policy.token_logprobs(prompts_of(policy, clips), targets, **kwargs).logprobs, targets.mask


def assert_same_weights(policy, other):
    weights, expected = policy.state_dict(), other.state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in weights.items())


def trained(policy) -> set[str]:
    return {name for name, parameter in policy.named_parameters() if parameter.requires_grad}


@torch.no_grad()
def test_the_sum_equals_one_linear_layer_on_the_concatenation(build, policy, clips):
    """RE-LLM: the embedding repeated for each frame, concatenated to it, then the projector."""
    ours = build()
    audio = ours.audio_tensors([clip.waveform for clip in clips])
    frames, counts = ours.audio_embeds(audio)

    projector, seen = last_layer(policy), []
    projector.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    policy.audio_embeds({name: value for name, value in audio.items() if name != "emotion"})
    embedding = torch.cat([read_encoder_of(ours)([clip.waveform])[0] for clip in clips])
    states = seen[0] if seen[0].ndim == 3 else pad_sequence(seen[0].split(counts.tolist()), batch_first=True)
    both = torch.cat([states, embedding[:, None].expand(-1, states.shape[1], -1)], -1)
    joined = nn.Linear(both.shape[-1], projector.out_features)
    joined.weight.copy_(torch.cat([projector.weight, ours.emotion.projection.weight], 1))
    joined.bias.copy_(projector.bias)

    own = torch.arange(frames.shape[1]) < counts[:, None]  # what stands behind a clip is read by nobody
    assert torch.allclose(frames[own], joined(both)[own], atol=1e-5)
    assert (frames - projector(states))[own].abs().mean() > 0.05
    assert counts.tolist() == ours.audio_embeds(audio)[1].tolist()


def last_layer(policy) -> nn.Linear:
    """The linear layer whose outputs are the frames that the language model reads."""
    inner = policy.model.model
    return inner.multi_modal_projector.linear if isinstance(policy, Qwen2Audio) else inner.audio_tower.proj


def read_encoder_of(policy) -> MelEmotion:
    return policy.emotion.encoder


@torch.no_grad()
def test_a_new_module_changes_nothing_yet(make, emotion_dir, policy, clips):
    fresh = make(emotion=EmotionSettings(str(emotion_dir)))
    assert not fresh.emotion.projection.weight.any()
    assert torch.allclose(logprobs(fresh, clips)[0], logprobs(policy, clips)[0], atol=1e-5)


@torch.no_grad()
def test_each_clip_has_its_own_embedding_alone_and_in_any_company(build, clips):
    policy = build()
    together, mask = logprobs(policy, clips)
    for i, clip in enumerate(clips):
        alone, own = logprobs(policy, [clip])
        assert torch.allclose(together[i][mask[i]], alone[0][own[0]], atol=1e-5)


@torch.no_grad()
def test_the_embedding_of_another_clip_gives_other_log_probs(build, clips):
    """Frames and embedding travel together: neither `select` nor a swap of clips parts them."""
    policy = build()
    prompts = prompts_of(policy, clips)
    order = torch.tensor([2, 0, 3, 1])
    chosen = prompts.select(order)
    assert torch.equal(chosen.audio["emotion"], prompts.audio["emotion"][order])
    targets = policy.encode_targets(["Yes."] * len(clips))
    right = policy.token_logprobs(prompts, targets).logprobs
    assert torch.allclose(policy.token_logprobs(chosen, targets).logprobs, right[order], atol=1e-5)
    crossed = replace(prompts, audio=dict(prompts.audio) | {"emotion": prompts.audio["emotion"][order]})
    assert (policy.token_logprobs(crossed, targets).logprobs - right).abs().amax(1).min() > 1e-4


@torch.no_grad()
def test_sampling_and_scoring_hear_the_same_with_a_shared_prompt_or_without(build, clips):
    for share_prompt in (True, False):
        policy = build(share_prompt=share_prompt)
        policy.lm_head_weight.mul_(30)  # a random head is nearly uniform: nothing would differ
        sampling = Sampling(max_new_tokens=5)
        sampled = HFEngine().sample(policy, clips, ["direct"] * len(clips), sampling, group_size=3)
        scored = policy.token_logprobs(sampled.prompts, sampled.completions, group_size=3).logprobs
        mask = sampled.completions.mask
        assert torch.allclose(scored[mask], sampled.sampling_logprobs[mask], atol=1e-4)
        deaf = replace(sampled.prompts, audio=dict(sampled.prompts.audio) | {"emotion": torch.zeros(len(clips), 12)})
        assert (policy.token_logprobs(deaf, sampled.completions, group_size=3).logprobs - scored).abs().max() > 1e-2


@torch.no_grad()
def test_prompts_that_are_read_have_no_audio_and_no_emotion(build, policy, clips):
    transcripts, names = [clip.example.text for clip in clips], [clip.example.id for clip in clips]
    ours, plain = (
        p.encode_prompts([INSTRUCTIONS["direct"]] * len(clips), transcripts, names) for p in (build(), policy)
    )
    assert dict(ours.audio) == {} and torch.equal(build().prompt_embeds(ours), policy.prompt_embeds(plain))


def test_gradients_reach_the_projection_and_never_the_encoder(build, clips):
    policy = build().train()
    before = {name: value.clone() for name, value in policy.emotion.encoder.state_dict().items()}
    values, mask = logprobs(policy, clips)
    values[mask].mean().backward()
    assert policy.emotion.projection.weight.grad.abs().sum() > 0
    optimizer = torch.optim.AdamW(policy.parameters(), lr=0.1, weight_decay=0.5)
    optimizer.step()
    after = policy.emotion.encoder.state_dict()
    assert all(p.grad is None and not p.requires_grad for p in policy.emotion.encoder.parameters())
    assert all(torch.equal(after[name], value) for name, value in before.items())
    policy.requires_grad_(True)  # the encoder's embedding takes no gradient all the same
    assert not prompts_of(policy, clips).audio["emotion"].requires_grad


def test_a_zero_projection_still_gets_a_gradient(make, emotion_dir, clips):
    policy = make(emotion=EmotionSettings(str(emotion_dir)))
    values, mask = logprobs(policy, clips)
    values[mask].mean().backward()
    assert policy.emotion.projection.weight.grad.abs().sum() > 0


def test_what_learns_is_the_projection_whatever_else_is_frozen(build, make, emotion_dir):
    plain = make()
    assert trained(build()) == trained(plain) | {"emotion.projection.weight"}
    frozen = build(train_audio_tower=False, train_language_model=False)
    left = {name for name in trained(frozen) if "multi_modal_projector" not in name}
    assert left == {"emotion.projection.weight"}
    assert not any("emotion" in name for name in trained(build(EmotionSettings(str(emotion_dir), train=False))))
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    adapted = {name for name in trained(build(lora=Lora(), train_audio_tower=False)) if "lora" not in name}
    assert adapted == {"emotion.projection.weight"}


def test_the_encoder_stays_in_evaluation_mode(build):
    policy = build().train()
    assert policy.training and policy.emotion.projection.training
    assert not any(module.training for module in policy.emotion.encoder.modules())


def test_perception_trains_the_projection_and_not_the_encoder(build, clips):
    stage = Perceive(build())
    stage.configure_model()
    loss, _ = stage.loss_and_accuracy(ClipBatch(clips), mask_frames=4)
    loss.backward()
    assert stage.policy.emotion.projection.weight.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in stage.policy.emotion.encoder.parameters())


def test_fine_tuning_and_the_teachers_pass_go_through(build, clips):
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    stage = Sft(build(lora=Lora(dropout=0.0), gradient_checkpointing=True))
    stage.configure_model()
    stage.loss(ClipBatch(clips), ["direct"] * len(clips)).backward()
    assert stage.policy.emotion.projection.weight.grad.abs().sum() > 0
    with teaching(stage.policy) as teacher:
        assert not teacher.prompt_embeds(prompts_of(teacher, clips)).requires_grad


@pytest.mark.parametrize("precision", ["autocast", "default"])
def test_the_embedding_does_not_depend_on_the_training_precision(build, clips, precision):
    policy, waveforms = build(), [clip.waveform for clip in clips]
    expected = policy.audio_tensors(waveforms)["emotion"]
    if precision == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            tensors = policy.audio_tensors(waveforms)["emotion"]
    else:
        torch.set_default_dtype(torch.bfloat16)
        try:
            tensors = policy.audio_tensors(waveforms)["emotion"]
        finally:
            torch.set_default_dtype(torch.float32)
    assert tensors.dtype == torch.float32 and torch.allclose(tensors, expected, atol=1e-5)  # bfloat16: 1e-2


@torch.no_grad()
def test_half_precision_policies_run(build, clips):
    policy = build(dtype="bfloat16")
    assert policy.emotion.projection.weight.dtype == torch.bfloat16
    assert logprobs(policy, clips)[0].isfinite().all()
    assert logprobs(policy.to(torch.bfloat16), clips)[0].isfinite().all()  # precision: bf16-true converts all of it


def test_silence_has_an_embedding(build):
    policy = build()
    assert policy.audio_tensors([np.zeros(16_000, dtype=np.float32)])["emotion"].isfinite().all()


# ---- the folder ----
@torch.no_grad()
def test_the_saved_module_is_read_back_and_the_rest_is_an_ordinary_folder(build, make, clips, tmp_path, emotion_dir):
    policy = build()
    policy.save(tmp_path / "export")
    before, _ = logprobs(policy, clips)
    found = sorted(str(f.relative_to(tmp_path / "export")) for f in (tmp_path / "export" / "emotion").rglob("*.*"))
    assert found == [
        "emotion/encoder/config.json",
        "emotion/encoder/model.safetensors",
        "emotion/projection.safetensors",
    ]
    for settings in (EmotionSettings(), EmotionSettings(str(emotion_dir))):
        reloaded = make(path=str(tmp_path / "export"), emotion=settings)
        assert_same_weights(reloaded, policy)
        assert torch.allclose(logprobs(reloaded, clips)[0], before, atol=1e-5)
    assert_same_weights(saved_policy(str(tmp_path / "export")), policy)
    ordinary = policy.model_class.from_pretrained(tmp_path / "export")
    assert not any("emotion" in name for name in ordinary.state_dict())
    names = {name.removeprefix("model.") for name in ordinary.state_dict()}
    assert names == {name.removeprefix("model.") for name in policy.model.state_dict()}


def test_adapters_are_merged_beside_the_module(build, clips, tmp_path):
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    policy = build(lora=Lora(dropout=0.0))
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.2)
        before, _ = logprobs(policy, clips)
        policy.save(tmp_path / "export")
        assert torch.allclose(logprobs(saved_policy(str(tmp_path / "export")), clips)[0], before, atol=1e-4)


def test_a_folder_with_a_module_is_not_read_without_it(build, make, tmp_path):
    build().save(tmp_path / "export")
    with pytest.raises(ValueError, match="holds an emotion module, which this configuration would drop"):
        make(path=str(tmp_path / "export"))


def test_a_folder_without_a_module_is_read_plainly(make):
    assert saved_policy(make().path).emotion is None
    with pytest.raises(ValueError, match=r"policy.emotion.encoder is not set and .* holds no emotion module"):
        make(emotion=EmotionSettings())


@pytest.mark.parametrize(("width", "message"), [(20, "width 20, .* takes 12"), (12, "is another encoder than the one")])
def test_another_encoder_than_the_modules_own_is_refused(build, make, tmp_path, width, message):
    build().save(tmp_path / "export")
    MelEmotion(mel_bins=16, channels=8, width=width).save(tmp_path / "other")
    with pytest.raises(ValueError, match=message):
        make(path=str(tmp_path / "export"), emotion=EmotionSettings(str(tmp_path / "other")))


def test_a_projection_of_another_shape_is_refused(build, tmp_path):
    build().save(tmp_path / "export")
    file = tmp_path / "export" / "emotion" / "projection.safetensors"
    save_file({"weight": load_file(file)["weight"][:, 1:].contiguous()}, file)
    with pytest.raises(ValueError, match=r"projection of shape \(32, 11\), this policy and encoder need \(32, 12\)"):
        saved_policy(str(tmp_path / "export"))


def test_an_encoder_of_another_rate_is_refused(make, tmp_path):
    MelEmotion(mel_bins=16, channels=8, width=12, sampling_rate=8_000).save(tmp_path / "telephone")
    with pytest.raises(ValueError, match="hears 8000 Hz, the policy 16000 Hz"):
        make(emotion=EmotionSettings(str(tmp_path / "telephone")))


def test_what_is_no_encoder_is_named(tiny_policy_dir, tmp_path):
    with pytest.raises(FileNotFoundError, match="cogrl build emotion-encoder --out"):
        read_encoder(tmp_path)
    with pytest.raises(ValueError, match="model_type 'qwen2_audio' is no emotion encoder"):
        read_encoder(tiny_policy_dir)
