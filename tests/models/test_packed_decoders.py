"""One packed forward through decoders of several families, against one plain forward a row."""

import pytest
import torch
from cogrl_kernels.prefix import prefix_plan
from transformers import (
    GraniteConfig,
    GraniteModel,
    LlamaConfig,
    LlamaModel,
    Qwen2Config,
    Qwen2Model,
    Qwen3Config,
    Qwen3Model,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.qwen2_5_omni.configuration_qwen2_5_omni import Qwen2_5OmniTextConfig
from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import Qwen2_5OmniThinkerTextModel

from cogrl.models.shared_prefix import decode_packed

WIDTH = 32
SIZES = {
    "vocab_size": 64,
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.3,  # large enough that attention looks somewhere
}
MULTI_AXIS = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10_000.0}
FAMILIES = {
    "llama": lambda: LlamaModel(LlamaConfig(**SIZES)),
    "qwen2": lambda: Qwen2Model(Qwen2Config(**SIZES)),
    "granite": lambda: GraniteModel(GraniteConfig(**SIZES, attention_multiplier=0.7)),  # scores scaled its own way
    "qwen3": lambda: Qwen3Model(Qwen3Config(**SIZES)),
    "omni": lambda: Qwen2_5OmniThinkerTextModel(Qwen2_5OmniTextConfig(**SIZES, rope_parameters=MULTI_AXIS)),
}
PROMPTS, LENGTHS, GROUPS = [9, 4, 6], [5, 5, 8, 1, 3, 7, 0, 2, 6], [3, 1, 5]


def decoder(family):
    torch.manual_seed(0)
    model = FAMILIES[family]().eval()
    model.set_attn_implementation("sdpa")
    return model


def positions(family):
    """Packed prompt positions: on three axes for Omni, as for a picture before the text."""
    plain = torch.cat([torch.arange(n) for n in PROMPTS])
    if family != "omni":
        return plain
    return torch.stack([plain, plain.clamp(min=2) + 3, plain // 2])


def pieces():
    g = torch.Generator().manual_seed(1)
    prompts = [torch.randn(n, WIDTH, generator=g) for n in PROMPTS]
    return prompts, [torch.randn(n, WIDTH, generator=g) for n in LENGTHS]


def packed(model, family):
    """The states that predict the completions' tokens, packed."""
    plan = prefix_plan(PROMPTS, LENGTHS, GROUPS, positions(family))
    prompts, completions = pieces()
    tokens = torch.cat(prompts + [c[:-1] for c in completions if len(c)])
    return decode_packed(model, tokens[plan.source], plan)[plan.rows]


def row_by_row(model, family):
    prompts, completions = pieces()
    own = positions(family).split(PROMPTS, -1)
    group_of = torch.arange(len(GROUPS)).repeat_interleave(torch.tensor(GROUPS)).tolist()
    states = []
    for completion, group in zip(completions, group_of, strict=True):
        after = own[group].max() + 1 + torch.arange(len(completion))
        where = torch.cat([own[group], after.expand(*own[group].shape[:-1], -1)], -1).unsqueeze(-2)
        row = torch.cat([prompts[group], completion])[None]
        out = model(inputs_embeds=row, attention_mask=torch.ones(row.shape[:2]), position_ids=where, use_cache=False)
        states.append(out.last_hidden_state[0, PROMPTS[group] - 1 : -1])
    return torch.cat(states)


def gradient(model, states):
    model.zero_grad()
    weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(2))
    (states * weights).sum().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_groups_equal_plain_rows(family):
    model = decoder(family)
    ours, theirs = packed(model, family), row_by_row(model, family)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    found, expected = gradient(model, ours), gradient(model, theirs)
    floor = 1e-3 * torch.stack([g.norm() for g in expected.values()]).norm()
    assert found.keys() == expected.keys()
    for name, g in expected.items():
        assert (found[name] - g).norm() <= 1e-5 * torch.maximum(g.norm(), floor), name


@pytest.mark.parametrize("family", FAMILIES)
def test_positions_that_restart_after_the_prompt_would_show(family):
    model = decoder(family)
    plan = prefix_plan(PROMPTS, LENGTHS, GROUPS, positions(family))
    prompts, completions = pieces()
    tokens = torch.cat(prompts + [c[:-1] for c in completions if len(c)])[plan.source]
    right = decode_packed(model, tokens, plan)
    plan.position_ids[..., 9:21] -= 9  # the first group's completions
    assert (decode_packed(model, tokens, plan) - right)[9:21].abs().max() > 1e-3


@torch.no_grad()
def test_without_a_plan_attention_is_what_it_was():
    module = decoder("qwen2").layers[0].self_attn
    q, k = torch.randn(2, 4, 7, 8), torch.randn(2, 2, 7, 8)
    mask = torch.ones(2, 1, 7, 7, dtype=torch.bool).tril()
    for kwargs in ({"scaling": 0.3}, {"scaling": 0.3, "dropout": 0.0, "sliding_window": None}):
        for m in (mask, None):
            ours = ALL_ATTENTION_FUNCTIONS["sdpa"](module, q, k, k, m, **kwargs)[0]
            torch.testing.assert_close(ours, sdpa_attention_forward(module, q, k, k, m, **kwargs)[0])


def test_attention_that_knows_no_plan_is_refused():
    model = decoder("llama")
    model.set_attn_implementation("eager")
    with pytest.raises(ValueError, match="attention is 'eager', which does not support shared prompts"):
        packed(model, "llama")


def test_attention_that_overlooks_the_plan_fails_instead_of_seeing_everything():
    model = decoder("llama")
    for layer in model.layers:
        layer.self_attn.config = type(model.config)(**SIZES, attn_implementation="eager")
    with pytest.raises(RuntimeError, match="size of tensor"):
        packed(model, "llama")


@pytest.mark.parametrize("name", ["softcap", "s_aux", "position_bias"])
def test_attention_that_is_more_than_softmax_is_refused(name):
    q, plan = torch.randn(1, 4, 10, 8), prefix_plan([5], [3, 4], 2)
    with pytest.raises(NotImplementedError, match=f"{name}; set share_prompt: false"):
        ALL_ATTENTION_FUNCTIONS["sdpa"](torch.nn.Module(), q, q, q, None, prefix_plan=plan, **{name: 30.0})


def test_a_sliding_window_shorter_than_the_sequence_is_refused():
    config = {"use_sliding_window": True, "max_window_layers": 1}
    model = Qwen2Model(Qwen2Config(**SIZES, **config, sliding_window=15, attn_implementation="sdpa"))
    with pytest.raises(NotImplementedError, match="sliding window of 15 for 16 tokens"):
        packed(model, "qwen2")
    assert packed(Qwen2Model(Qwen2Config(**SIZES, **config, sliding_window=16)), "qwen2").isfinite().all()
