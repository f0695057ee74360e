"""The arithmetic of memory against what PyTorch holds, and against docs/scaling.md."""

import re
from pathlib import Path

import pytest
import torch

from cogrl.doctor.memory import Weights, activation_bytes, cache_bytes, drawn_bytes, state_bytes, weights_of
from cogrl.lm_head import logits_bytes
from cogrl.models.check import shapes_of
from cogrl.models.group_cache import room
from cogrl.models.lora import Lora
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.parallel.shares import Shares, shares_of
from cogrl.rollout.running import RunningRows
from cogrl.rollout.shared_rows import SharedRows

SCALING = Path(__file__).parents[2] / "docs/scaling.md"


def bytes_of(tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("lora", [None, Lora()], ids=["whole", "lora"])
def test_the_state_is_what_a_step_of_adamw_leaves_behind(tiny_policy_dir, dtype, lora):
    if lora:
        pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    policy = Qwen2Audio(str(tiny_policy_dir), dtype=dtype, lora=lora, train_audio_tower=False)
    shapes = weights_of(shapes_of(policy))
    policy.load()
    trained = [p for p in policy.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    sum(p.float().sum() for p in trained).backward()
    optimizer.step()
    found = state_bytes(weights_of(policy), Shares())
    moments = [tensor for state in optimizer.state.values() for tensor in state.values() if tensor.ndim]
    assert found.weights == bytes_of(policy.parameters())
    assert found.gradients == bytes_of(p.grad for p in trained)
    assert found.optimizer == bytes_of(moments)
    assert found.host == 0 and state_bytes(shapes, Shares()) == found


def test_shares_are_those_of_the_page_on_scaling():
    pytest.importorskip("deepspeed")
    from cogrl.parallel.zero import ZeroStrategy

    weights = [Weights(8_400_000_000, 2, True)]
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|", SCALING.read_text(), re.M)
    assert [row[0] for row in rows] == ["8", "64", "512"]
    for ranks, *stages in rows:
        for stage, shown in enumerate(stages, start=1):
            found = state_bytes(weights, shares_of(ZeroStrategy(stage=stage), int(ranks))).device / 1e9
            assert found == pytest.approx(float(shown), abs=0.5 if "." not in shown else 0.05)
    offload = ZeroStrategy(stage=3, offload_optimizer=True, offload_parameters=True)
    state = state_bytes(weights, shares_of(offload, 8))
    assert (state.weights, state.optimizer) == (0, 0)
    assert state.host == pytest.approx((16 + 2) * 8.4e9 / 8)  # master, moments and gradient in float32; the weight


def test_activations_are_estimated_within_a_quarter(make):
    policy = make().train()
    embeds = torch.randn(1, 200, policy.width, requires_grad=True)
    kept = kept_bytes(policy.decoder, lambda: policy.decoder(inputs_embeds=embeds, use_cache=False))
    assert activation_bytes(policy.decoder, 200, policy.width, 4, False) == pytest.approx(kept, rel=0.25)
    assert activation_bytes(policy.decoder, 400, policy.width, 2, False) == pytest.approx(kept, rel=0.25)


def test_checkpointing_keeps_the_inputs_of_layers_and_one_layer(make):
    decoder = make().decoder
    whole, less = (activation_bytes(decoder, 100, 32, 4, checkpointing) for checkpointing in (False, True))
    assert less == whole + 100 * 32 * 4  # of its single layer
    decoder.layers.extend(torch.nn.ModuleList([decoder.layers[0] for _ in range(3)]))  # counted once by `modules`
    assert activation_bytes(decoder, 100, 32, 4, True) == pytest.approx(whole / 4 + 4 * 100 * 32 * 4, rel=1e-4)


def kept_bytes(module, run) -> int:
    """The bytes of what a forward pass keeps for its backward pass, weights apart, each storage once."""
    weights, kept = {p.untyped_storage().data_ptr() for p in module.parameters()}, {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = run()
    assert output.last_hidden_state.requires_grad
    return sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in weights)


@torch.no_grad()
def test_the_cache_is_as_large_as_that_of_running_rows(make, clips):
    policy = make().eval()
    prompts = policy.encode_prompts(["Which emotion?"] * 2, [clip.waveform for clip in clips[:2]], ["a", "b"])
    token, longest = policy.embed(torch.ones(6, 1, dtype=torch.long)), prompts.input_ids.shape[1]
    repeated, shared = (kind(policy, prompts, group_size=3) for kind in (RunningRows, SharedRows))
    for running in (repeated, shared):
        running.feed_token(token)
    config, keys = policy.model.config.get_text_config(), shared.cache.keys + shared.cache.values
    found = bytes_of(tensor for layer in repeated.cache.layers for tensor in (layer.keys, layer.values))
    assert found == cache_bytes(config, 6 * (longest + 1), 4)
    assert bytes_of(keys) == cache_bytes(config, 2 * room(longest + 3), 4) < found / 2


def test_logits_are_those_of_a_chunk_and_never_of_all_tokens():
    assert logits_bytes(100_000, 152_000, on_gpu=True) == logits_bytes(200_000, 152_000, on_gpu=True) < 3 * 2**30
    assert logits_bytes(10, 1000, on_gpu=False) == 10 * 1000 * 8
    assert drawn_bytes(8, 1000) == 8 * 1000 * 12
