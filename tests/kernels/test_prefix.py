"""Packed shared-prefix attention against the plain thing: every completion with its own copy of the prompt."""

import sys
import types

import pytest
import torch
from cogrl_kernels.prefix import PrefixPlan, prefix_attention, prefix_plan

CASES = pytest.mark.parametrize(
    ("prompts", "completions", "groups"),
    [
        ([7], [5, 5, 5], 3),
        ([7], [5, 1, 0, 9], 4),  # one that feeds nothing, one that is empty
        ([7], [6], 1),
        ([7, 1, 4], [3, 6, 2, 2, 0, 5, 5, 5], [3, 1, 4]),
        ([3, 5], [0, 0, 1, 1], 2),
        ([2, 9], [4, 0, 0, 8], 2),  # one branch is left of each group
        ([63, 40], [33, 17, 33, 1, 5, 12], 3),
    ],
)
HEADS = pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (6, 1)])


def sequences(plan: PrefixPlan) -> list[tuple[list[int], int]]:
    """Packed positions of each `[prompt][completion]`, and how many of them are the prompt."""
    found, start = [], 0
    for prompt, fed in zip(plan.prompt_lens, plan.fed_lens, strict=True):
        prefix, start = list(range(start, start + prompt)), start + prompt
        for n in fed:
            found.append(([*prefix, *range(start, start + n)], prompt))
            start += n
    return found


def dense(q, k, v, scaling=None):
    """Causal attention by its definition, (heads, n, head_dim)."""
    repeats = q.shape[0] // k.shape[0]
    k, v = k.repeat_interleave(repeats, 0), v.repeat_interleave(repeats, 0)
    scores = q @ k.mT * (scaling or q.shape[-1] ** -0.5)
    past = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril(scores.shape[-1] - scores.shape[-2])
    return scores.masked_fill(~past, -torch.inf).softmax(-1) @ v


def repeated(q, k, v, plan, scaling=None):
    out = torch.full_like(q, torch.nan)
    pieces = {}
    for where, prompt in sequences(plan):
        row = dense(q[0][:, where], k[0][:, where], v[0][:, where], scaling)
        pieces |= {position: row[:, i] for i, position in enumerate(where) if i >= prompt or position not in pieces}
    out = torch.stack([pieces[i] for i in range(q.shape[2])], 1)
    return out[None]


def random_qkv(plan, heads=4, kv_heads=2, dtype=torch.float64, dim=8, seed=0):
    g = torch.Generator().manual_seed(seed)
    total = len(plan.source)
    return tuple(
        torch.randn(1, total, h, dim, generator=g, dtype=dtype).transpose(1, 2).requires_grad_()
        for h in (heads, kv_heads, kv_heads)
    )


@CASES
@HEADS
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 5e-6)])
def test_it_equals_attention_with_the_prompt_repeated(prompts, completions, groups, heads, kv_heads, dtype, tolerance):
    plan = prefix_plan(prompts, completions, groups)
    ours = random_qkv(plan, heads, kv_heads, dtype)
    theirs = tuple(x.detach().double().requires_grad_() for x in ours)
    upstream = torch.randn(ours[0].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    out, expected = prefix_attention(*ours, plan, 0.3), repeated(*theirs, plan, 0.3)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=tolerance)
    out.backward(upstream.to(dtype))
    expected.backward(upstream)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad.double(), b.grad, rtol=0, atol=tolerance * 4)


def test_the_default_scaling_is_one_over_the_root_of_the_head_width():
    plan = prefix_plan([5], [3, 4], 2)
    q, k, v = random_qkv(plan)
    torch.testing.assert_close(prefix_attention(q, k, v, plan), prefix_attention(q, k, v, plan, 8**-0.5))
    assert (prefix_attention(q, k, v, plan) - prefix_attention(q, k, v, plan, 0.1)).abs().max() > 1e-2


@torch.no_grad()
@pytest.mark.parametrize("completions", [[8, 8, 8], [8, 3, 5]])
def test_dropout_reaches_prompts_and_completions(completions):
    plan = prefix_plan([8], completions, 3)
    q, k, v = random_qkv(plan)
    torch.manual_seed(0)
    moved = (prefix_attention(q, k, v, plan, dropout=0.5) - prefix_attention(q, k, v, plan)).abs().amax((0, 1, 3))
    assert (moved > 0).float()[:8].mean() > 0.5 and (moved > 0).float()[8:].mean() > 0.5


@torch.no_grad()
def test_a_completion_sees_neither_its_siblings_nor_the_other_groups():
    plan = prefix_plan([6, 4], [5, 3, 5, 7], 2)
    q, k, v = random_qkv(plan)
    before = prefix_attention(q, k, v, plan)
    starts = [0, 6, 10, 12, 16, 20]  # prompt 1, two completions, prompt 2, two completions
    ends = [*starts[1:], 26]
    sees = {0: {0}, 1: {0, 1}, 2: {0, 2}, 3: {3}, 4: {3, 4}, 5: {3, 5}}
    for changed in range(6):
        other_k, other_v = k.clone(), v.clone()
        other_k[:, :, starts[changed] : ends[changed]] += 1
        other_v[:, :, starts[changed] : ends[changed]] += 1
        after = prefix_attention(q, other_k, other_v, plan)
        for piece, seen in sees.items():
            here = slice(starts[piece], ends[piece])
            assert ((after - before)[:, :, here].abs().max() < 1e-12) == (changed not in seen)


def test_padding_of_uneven_completions_gets_no_gradient_and_gives_none():
    plan = prefix_plan([6], [9, 3, 1], 3)
    q, k, v = random_qkv(plan)
    prefix_attention(q, k, v, plan)[:, :, 6 + 8 :].sum().backward()  # the second completion only
    for x in (q, k, v):
        assert x.grad.isfinite().all() and (x.grad[:, :, 6 : 6 + 8] == 0).all()


def test_rows_point_at_the_token_before_and_positions_continue_after_the_prompt():
    plan = prefix_plan([3, 2], [3, 0, 1, 4], 2)
    # packed: p p p a a | p p b b b; `a` feeds 2 of 3, the empty and the single one feed nothing, `b` 3 of 4
    assert plan.position_ids.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    assert plan.rows.tolist() == [2, 3, 4, 6, 6, 7, 8, 9]
    assert plan.cu_seqlens.tolist() == [0, 3, 3, 4, 8]
    assert plan.fed_lens == ((2, 0), (0, 3))
    assert plan.source.tolist() == [0, 1, 2, 5, 6, 3, 4, 7, 8, 9]
    assert plan.longest == 5


def test_positions_on_several_axes_continue_after_the_largest_of_the_prompt():
    own = torch.tensor([[0, 1, 1, 2, 0, 1], [0, 1, 5, 3, 0, 4], [0, 0, 0, 0, 0, 0]])
    plan = prefix_plan([4, 2], [3, 2, 1, 3], 2, prompt_positions=own)
    assert plan.position_ids.tolist() == [
        [0, 1, 1, 2, 6, 7, 6, 0, 1, 5, 6],
        [0, 1, 5, 3, 6, 7, 6, 0, 4, 5, 6],
        [0, 0, 0, 0, 6, 7, 6, 0, 0, 5, 6],
    ]


def test_lengths_may_be_tensors_and_a_number_of_completions_may_stand_for_all():
    a, b = prefix_plan([3, 2], [3, 1, 2, 4], [2, 2]), prefix_plan(torch.tensor([3, 2]), torch.tensor([3, 1, 2, 4]), 2)
    assert a.fed_lens == b.fed_lens and torch.equal(a.rows, b.rows) and torch.equal(a.source, b.source)


@CASES
@HEADS
@torch.no_grad()
def test_spans_describe_the_same_attention_to_a_variable_length_kernel(prompts, completions, groups, heads, kv_heads):
    plan = prefix_plan(prompts, completions, groups)
    q, k, v = random_qkv(plan, heads, kv_heads)
    rows, cu_queries, cu_keys, longest_query, longest_key = plan.spans
    assert cu_queries.dtype == cu_keys.dtype == torch.int32
    q_, k_, v_ = (x[0].transpose(0, 1) for x in (q, k, v))
    out = varlen(q_, k_[rows], v_[rows], cu_queries, cu_keys, longest_query, longest_key, causal=True)
    torch.testing.assert_close(out.transpose(0, 1)[None], repeated(q, k, v, plan), rtol=0, atol=1e-13)


def varlen(q, k, v, cu_q, cu_k, longest_q, longest_k, dropout_p=0.0, softmax_scale=None, causal=False):
    """What flash-attn's function of this signature means: the last query of a sequence sees its last key."""
    assert causal and dropout_p == 0.0
    assert longest_q == cu_q.diff().max() and longest_k == cu_k.diff().max()
    parts = zip(*(x.tensor_split(cu[1:-1].long()) for x, cu in ((q, cu_q), (k, cu_k), (v, cu_k))), strict=True)
    return torch.cat([dense(*(x.transpose(0, 1) for x in part), softmax_scale).transpose(0, 1) for part in parts])


@torch.no_grad()
def test_the_flash_path_calls_the_kernel_as_it_is_meant(monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_attn", types.SimpleNamespace(flash_attn_varlen_func=varlen))
    plan = prefix_plan([7, 3], [5, 2, 4, 1], 2)
    q, k, v = random_qkv(plan)
    out = prefix_attention(q, k, v, plan, 0.3, impl="flash")
    torch.testing.assert_close(out, prefix_attention(q, k, v, plan, 0.3, impl="sdpa"), rtol=0, atol=1e-13)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.bfloat16, 3e-2)])
def test_on_a_gpu_it_equals_attention_with_the_prompt_repeated(dtype, tolerance):
    plan = prefix_plan([63, 40], [33, 17, 33, 1, 5, 12], 3, device="cuda")
    ours = tuple(x.detach().to("cuda", dtype).requires_grad_() for x in random_qkv(plan, 8, 2, dim=64))
    theirs = tuple(x.detach().double().requires_grad_() for x in ours)
    out, expected = prefix_attention(*ours, plan), repeated(*theirs, plan)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=tolerance)
    out.sum().backward()
    expected.sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        assert (a.grad.double() - b.grad).norm() <= tolerance * b.grad.norm()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], [], 1), "need at least one prompt"),
        (([3, 2], [1, 1, 1], 2), "2 prompts, 2 group sizes that sum to 4, 3 completions"),
        (([3, 2], [1, 1], [2]), "2 prompts, 1 group sizes"),
        (([3, 0], [1, 1], 1), r"prompt_lens=\[3, 0\] must be whole numbers of at least 1"),
        (([3], [-1], 1), r"completion_lens=\[-1\] must be whole numbers of at least 0"),
        (([3], [1.5], 1), "completion_lens"),
        (([3], [1], 0), r"group_sizes=\[0\]"),
        (([3], [1], 1, torch.arange(4)), r"prompt_positions are \(4,\) for 3 prompt tokens"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        prefix_plan(*arguments)


def test_tensors_of_another_plan_and_unknown_implementations_are_refused():
    plan = prefix_plan([5], [3, 4], 2)
    q, k, v = random_qkv(plan)
    with pytest.raises(ValueError, match=r"key is \(1, 2, 9, 8\); a plan of 10 tokens"):
        prefix_attention(q, k[:, :, :9], v, plan)
    with pytest.raises(ValueError, match=r"query is \(2, 4, 10, 8\)"):
        prefix_attention(q.expand(2, -1, -1, -1), k, v, plan)
    with pytest.raises(ValueError, match="unknown impl='eager'; pass one of 'auto', 'sdpa', 'flash'"):
        prefix_attention(q, k, v, plan, impl="eager")
