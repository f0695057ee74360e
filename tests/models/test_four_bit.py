"""A base in 4 bits: what is rounded, that it trains and samples as any other, and that no export has it.

What needs the package bitsandbytes is skipped without it; its kernels for CPUs are enough.
"""

import json
import sys

import pytest
import torch
from format_instructions import INSTRUCTIONS
from safetensors.torch import load_file

from cogrl.doctor.memory import state_bytes, weights_of
from cogrl.models.check import check_policy, shapes_of
from cogrl.models.four_bit import refuse_no_four_bit
from cogrl.models.lora import Lora
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.parallel.fsdp import FsdpStrategy
from cogrl.parallel.shares import Shares
from cogrl.parallel.zero import ZeroStrategy
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling
from cogrl.stages import Sft
from cogrl.stages.sharding import refuse_four_bit

NORMAL_FLOAT = (
    *(-1.0, -0.6961928, -0.5250731, -0.39491749, -0.28444138, -0.18477343, -0.09105004, 0.0),
    *(0.0795803, 0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1.0),
)
"""The grid of QLoRA's paper (arXiv:2305.14314, appendix E)."""
ADAPTERS = Lora(dropout=0.0, in_full=".*multi_modal_projector")


@pytest.fixture
def packed(tiny_policy_dir):
    """A tiny policy whose language model is in 4 bits, with trained adapters and a projector that trains in full."""
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    pytest.importorskip("bitsandbytes", reason="4 bits need the extra cogrl[4bit]")
    return Qwen2Audio(str(tiny_policy_dir), lora=ADAPTERS, load_in_4bit=True, train_audio_tower=False).load()


@pytest.fixture
def whole(tiny_policy_dir):
    """The same in float32."""
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    return Qwen2Audio(str(tiny_policy_dir), lora=ADAPTERS, train_audio_tower=False).load()


def rounded(weight):
    """A weight on the grid, block by block of 64, as the paper has it."""
    blocks = weight.reshape(-1, 64)
    scale = blocks.abs().amax(1, keepdim=True)
    grid = torch.tensor(NORMAL_FLOAT)
    return (grid[(blocks / scale)[..., None].sub(grid).abs().argmin(-1)] * scale).reshape(weight.shape)


def bases(policy) -> dict[str, torch.nn.Module]:
    """The linear layers of the language model, without their adapters, by the names of the base model."""
    named = policy.decoder.named_modules()
    found = {name: part for name, part in named if isinstance(part, torch.nn.Linear) and ".lora_" not in name}
    return {name.replace(".base_layer", ""): part for name, part in found.items()}


def train_adapters(*policies):
    """The same trained adapters, and the same projector, in each policy."""
    for policy in policies:
        generator = torch.Generator().manual_seed(0)
        for parameter in (p for p in policy.parameters() if p.requires_grad):
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)


def round_base(policy):
    for layer in bases(policy).values():
        layer.weight.data = rounded(layer.weight.data)


def logprobs(policy, clips):
    prompts = policy.encode_prompts(
        [INSTRUCTIONS["eips"]] * len(clips), [c.waveform for c in clips], [c.example.id for c in clips]
    )
    targets = policy.encode_targets([c.example.targets["eips"] for c in clips])
    return policy.token_logprobs(prompts, targets).logprobs[targets.mask]


def test_the_layers_of_the_language_model_are_on_the_grid_and_all_else_is_as_it_was(packed, whole):
    from bitsandbytes.functional import dequantize_4bit

    theirs = bases(whole)
    for name, layer in bases(packed).items():
        assert layer.weight.dtype == torch.uint8 and layer.weight.numel() * 2 == theirs[name].weight.numel()
        found = dequantize_4bit(layer.weight.data, layer.weight.quant_state)
        torch.testing.assert_close(found, rounded(theirs[name].weight.data), atol=1e-6, rtol=1e-5)
    inside = {f"model.model.language_model.{name}.weight" for name in theirs}
    expected = dict(whole.named_parameters())
    for name, parameter in packed.named_parameters():
        if name.replace(".base_layer", "") not in inside and ".lora_" not in name:
            assert torch.equal(parameter, expected[name]), name


def test_log_probs_and_gradients_are_those_of_rounded_weights(packed, whole, clips):
    """In a training step that follows an evaluation, as an update follows a rollout."""
    round_base(whole)
    train_adapters(packed, whole)
    with torch.no_grad():
        torch.testing.assert_close(logprobs(packed.eval(), clips), logprobs(whole.eval(), clips), atol=1e-5, rtol=1e-5)
    for policy in (packed, whole):
        logprobs(policy.train(), clips).mean().backward()
    expected = {name: p.grad for name, p in whole.named_parameters() if p.requires_grad}
    found = {name: p.grad for name, p in packed.named_parameters() if p.requires_grad}
    assert found.keys() == expected.keys() and any("lora_A" in name for name in found)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-4)


def test_a_cpu_for_which_evaluation_repacks_the_weights_has_their_gradients_too(
    tiny_policy_dir, packed, clips, monkeypatch
):
    """The kernel of such CPUs has no backward pass, and what trains below a layer would learn nothing."""
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)
    policy = Qwen2Audio(str(tiny_policy_dir), lora=ADAPTERS, load_in_4bit=True, train_audio_tower=False).load()
    grads = []
    for each in (policy, packed):
        with torch.no_grad():
            logprobs(each.eval(), clips[:1])
        logprobs(each.train(), clips[:1]).mean().backward()
        grads.append([p.grad for p in each.model.model.multi_modal_projector.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*grads, strict=True)) and grads[0][0].abs().max() > 0


@torch.no_grad()
def test_sampled_log_probs_are_the_teacher_forced_ones(packed, clips):
    packed.lm_head_weight.mul_(8)  # a random head is nearly uniform: little would differ
    generator = torch.Generator().manual_seed(0)
    drawn = HFEngine().sample(packed, clips, ["direct"] * 4, Sampling(max_new_tokens=5), 2, generator=generator)
    scored = packed.token_logprobs(drawn.prompts, drawn.completions, group_size=2).logprobs
    torch.testing.assert_close(scored, drawn.sampling_logprobs, rtol=0, atol=2e-5)


def test_an_export_has_the_adapters_in_the_whole_weights_and_nothing_of_4_bits(packed, whole, tmp_path):
    train_adapters(packed, whole)
    before = {name: value.clone() for name, value in packed.state_dict().items()}
    for name, policy in (("packed", packed), ("whole", whole)):
        policy.save(tmp_path / name)
    found, expected = (load_file(tmp_path / name / "model.safetensors") for name in ("packed", "whole"))
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=1e-6)
    configs = [json.loads((tmp_path / name / "config.json").read_text()) for name in ("packed", "whole")]
    assert configs[0] == configs[1] and "quantization_config" not in configs[0]
    assert all(torch.equal(value, before[name]) for name, value in packed.state_dict().items())
    check_policy(Qwen2Audio(str(tmp_path / "packed")))


@torch.no_grad()
def test_a_checkpoint_brings_back_the_weights_it_was_written_with(packed, whole, clips, tmp_path):
    """Scales too: here the folder has changed in between."""
    train_adapters(packed)
    torch.save(packed.state_dict(), tmp_path / "state.pt")
    for layer in bases(whole).values():
        layer.weight.data *= 3
    whole.save(tmp_path / "other")
    other = Qwen2Audio(str(tmp_path / "other"), lora=ADAPTERS, load_in_4bit=True, train_audio_tower=False).load()
    assert (logprobs(other.eval(), clips) - logprobs(packed.eval(), clips)).abs().max() > 1e-3
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    torch.testing.assert_close(logprobs(other, clips), logprobs(packed, clips), atol=1e-6, rtol=1e-6)


def test_the_doctor_counts_the_bytes_that_are_held(packed, tiny_policy_dir):
    shapes = shapes_of(Qwen2Audio(str(tiny_policy_dir), lora=ADAPTERS, load_in_4bit=True, train_audio_tower=False))
    found = state_bytes(weights_of(packed), Shares())
    assert state_bytes(weights_of(shapes), Shares()) == found
    scales = [layer.weight.quant_state.absmax for layer in bases(packed).values()]
    assert found.weights == sum(tensor.nbytes for tensor in (*packed.parameters(), *scales))


def test_layers_take_four_and_a_half_bits_a_weight_whatever_the_rest_is_kept_in(tiny_policy_dir):
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")

    def held(four_bit, half):
        policy = Qwen2Audio(str(tiny_policy_dir), lora=Lora(), load_in_4bit=four_bit, dtype="bfloat16")
        shapes = shapes_of(policy)
        numbers = 0 if four_bit else sum(layer.weight.numel() for layer in bases(shapes).values())
        return state_bytes(weights_of(shapes, half), Shares()).weights, numbers

    for half in (False, True):
        (less, _), (more, numbers) = held(True, half), held(False, half)
        assert more - less == numbers * (16 - 4.5) / 8


def test_weights_in_4_bits_are_refused_without_adapters_package_or_whole_weights(tiny_policy_dir, monkeypatch):
    with pytest.raises(ValueError, match=r"weights in 4 bits can not train; train adapters \(policy.lora\)"):
        Qwen2Audio(str(tiny_policy_dir), load_in_4bit=True)
    policy = Qwen2Audio(str(tiny_policy_dir), lora=Lora(), load_in_4bit=True)
    for strategy in (ZeroStrategy(3), FsdpStrategy()):
        with pytest.raises(ValueError, match=rf"{type(strategy).__name__} shards weights.* DDP.*zero2.yaml"):
            refuse_four_bit(Sft(policy), strategy)
        refuse_four_bit(Sft(Qwen2Audio(str(tiny_policy_dir))), strategy)
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'cogrl\[4bit\]'"):
        check_policy(policy)


def test_a_device_without_kernels_is_refused():
    pytest.importorskip("bitsandbytes", reason="4 bits need the extra cogrl[4bit]")
    refuse_no_four_bit(torch.device("cpu"))
    with pytest.raises(ValueError, match=r"no 4-bit kernels for a device of type 'xla', only for cpu, cuda"):
        refuse_no_four_bit(torch.device("xla"))
