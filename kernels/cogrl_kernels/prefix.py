"""Attention over groups of completions that share one prompt, packed so that every prompt runs once.

Packed layout: `[prompt 1][c 1,1] ... [c 1,G1][prompt 2][c 2,1] ...`. A prompt attends to itself, a completion to its
prompt and to itself, both causally: what every row would see in `[prompt][completion]`, without the repeats (prefix
sharing as in arXiv 2506.05433). Torch only; FlashAttention is used where it is installed and fits.
"""

import functools
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from cogrl_kernels.dispatch import choose

HALF = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class PrefixPlan:
    """Where everything lies in the packed sequence of `T` tokens; made by `prefix_plan`, the same for every layer.

    `prompt_lens` counts the prompts' tokens, `fed_lens` those of each completion that are fed, group by group: all but
    the last, which is only ever predicted.
    `position_ids` is (T,), or (axes, T) for positions on several axes.
    `rows` (m,) is the packed position whose hidden state predicts each completion token, completions in order: the
    token before it, for the first one the last of the prompt. `cu_seqlens` (b + 1,) bounds the completions in it.
    `source` (T,) picks the packed tokens from all prompt tokens followed by all fed completion tokens.
    """

    prompt_lens: tuple[int, ...]
    fed_lens: tuple[tuple[int, ...], ...]
    position_ids: Tensor
    rows: Tensor
    cu_seqlens: Tensor
    source: Tensor

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt-and-completion that is fed."""
        return max(prompt + max(fed) for prompt, fed in zip(self.prompt_lens, self.fed_lens, strict=True))

    @cached_property
    def runs(self) -> list[tuple[int, "Branches | None"]]:
        """Per group: the length of its causal trunk, and the completions that branch off its end."""
        device = self.rows.device
        runs: list[tuple[int, Branches | None]] = []
        for prompt, fed in zip(self.prompt_lens, self.fed_lens, strict=True):
            lengths = [n for n in fed if n]
            if len(lengths) < 2:  # one completion simply continues its prompt
                runs.append((prompt + sum(lengths), None))
            else:
                runs.append((prompt, Branches.of(prompt, lengths, device)))
        return runs

    @cached_property
    def spans(self) -> tuple[Tensor, Tensor, Tensor, int, int]:
        """For variable-length kernels: key rows, bounds of queries and of keys (int32), longest query and key."""
        queries, keys, rows, start = [], [], [], 0
        for trunk, branches in self.runs:
            lengths = branches.lengths if branches else []
            queries += [trunk, *lengths]
            keys += [trunk, *(trunk + n for n in lengths)]
            prefix = torch.arange(start, start + trunk)
            rows.append(prefix)
            start += trunk
            for n in lengths:
                rows += [prefix, torch.arange(start, start + n)]
                start += n
        device = self.rows.device
        bounds = (torch.tensor([0, *x]).cumsum(0).to(device, torch.int32, non_blocking=True) for x in (queries, keys))
        return torch.cat(rows).to(device, non_blocking=True), *bounds, max(queries), max(keys)


@dataclass(frozen=True)
class Branches:
    """The non-empty completions of one group, `g` of them, padded to the longest (`c`) where their lengths differ.

    `mask` (c, prompt + c) is True where a completion token may look: at the whole prompt, at itself and before.
    `slots` (g * c,) and `real` (sum of lengths,) translate between packed and padded; None when nothing is padded.
    """

    lengths: list[int]
    mask: Tensor
    slots: Tensor | None
    real: Tensor | None

    @classmethod
    def of(cls, prompt: int, lengths: list[int], device: torch.device) -> "Branches":
        g, c = len(lengths), max(lengths)
        mask = torch.ones(c, prompt + c, dtype=torch.bool, device=device).tril(prompt)
        if min(lengths) == c:
            return cls(lengths, mask, None, None)
        inside = torch.arange(c) < torch.tensor(lengths)[:, None]
        slots = torch.zeros(g, c, dtype=torch.long)  # padding reads token 0: finite, and ignored
        slots[inside] = torch.arange(sum(lengths))
        slots, real = slots.flatten(), inside.flatten().nonzero().squeeze(1)
        return cls(lengths, mask, *(x.to(device, non_blocking=True) for x in (slots, real)))

    def pad(self, x: Tensor) -> Tensor:
        """Packed (n, heads, head_dim) -> (g, heads, c, head_dim)."""
        x = x if self.slots is None else x.index_select(0, self.slots)
        return x.unflatten(0, (len(self.lengths), -1)).transpose(1, 2)

    def unpad(self, x: Tensor) -> Tensor:
        """The way back."""
        x = x.transpose(1, 2).flatten(0, 1)
        return x if self.real is None else x.index_select(0, self.real)


def prefix_plan(
    prompt_lens: Sequence[int] | Tensor,
    completion_lens: Sequence[int] | Tensor,
    group_sizes: Sequence[int] | Tensor | int,
    prompt_positions: Tensor | None = None,
    device: torch.device | str | None = None,
) -> PrefixPlan:
    """The plan of `p` prompts with `group_sizes` completions each (one number: the same for all), adjacent, in order.

    `completion_lens` (b,) counts up to and including the last token that is predicted; 0 is allowed, and what follows
    in a padded row is simply not part of it. `prompt_positions`, (sum of prompt_lens,) or (axes, sum), are the prompts'
    own positions, one prompt after another (default: 0, 1, 2, ...); completions continue after the largest of their
    prompt, on every axis alike. Lengths on the CPU spare a wait for the device. Raises ValueError on lengths that do
    not fit.
    """
    prompts, completions = _ints("prompt_lens", prompt_lens, 1), _ints("completion_lens", completion_lens, 0)
    sizes = [group_sizes] * len(prompts) if isinstance(group_sizes, int) else group_sizes
    sizes = _ints("group_sizes", sizes, 1)
    if not prompts or len(sizes) != len(prompts) or sum(sizes) != len(completions):
        raise ValueError(
            f"{len(prompts)} prompts, {len(sizes)} group sizes that sum to {sum(sizes)}, {len(completions)} "
            "completions; need at least one prompt, one size a prompt and one length a completion"
        )
    if prompt_positions is None:
        prompt_positions = torch.cat([torch.arange(n) for n in prompts])
    if prompt_positions.ndim not in (1, 2) or prompt_positions.shape[-1] != sum(prompts):
        raise ValueError(f"prompt_positions are {tuple(prompt_positions.shape)} for {sum(prompts)} prompt tokens")

    positions, rows, source, fed_lens = [], [], [], []
    prompt_start, fed_start, start, queue = 0, sum(prompts), 0, iter(completions)
    for prompt, size in zip(prompts, sizes, strict=True):
        own = prompt_positions[..., prompt_start : prompt_start + prompt]
        after = own.max() + 1
        positions.append(own)
        source.append(torch.arange(prompt_start, prompt_start + prompt))
        prompt_start, last, start, fed_lens = prompt_start + prompt, start + prompt - 1, start + prompt, [*fed_lens, []]
        for _ in range(size):
            length = next(queue)
            fed = max(length - 1, 0)
            steps = torch.arange(fed, device=own.device)
            positions.append((after + steps).expand(*own.shape[:-1], fed))
            source.append(torch.arange(fed_start, fed_start + fed))
            rows.append(torch.cat([torch.tensor([last]), torch.arange(start, start + fed)])[:length])
            fed_lens[-1].append(fed)
            fed_start, start = fed_start + fed, start + fed
    device = device or prompt_positions.device
    return PrefixPlan(
        tuple(prompts),
        tuple(map(tuple, fed_lens)),
        *(
            x.to(device, non_blocking=True)
            for x in (
                torch.cat(positions, -1),
                torch.cat(rows),
                torch.tensor([0, *completions]).cumsum(0),
                torch.cat(source),
            )
        ),
    )


def prefix_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    plan: PrefixPlan,
    scaling: float | None = None,
    dropout: float = 0.0,
    impl: Literal["auto", "sdpa", "flash"] = "auto",
) -> Tensor:
    """Softmax attention of `query` (1, heads, T, head_dim) under `plan`; same shape out.

    `key` and `value` are (1, kv_heads, T, head_dim), `heads` a multiple of `kv_heads`; `scaling` defaults to
    1/sqrt(head_dim). "flash" is one variable-length call, of half precision on CUDA with flash-attn installed, and
    "auto" where that is the case; "sdpa" one or two calls of scaled_dot_product_attention a group.
    Raises ValueError when the tensors are not those of the plan.
    """
    total = len(plan.source)
    for name, x in (("query", query), ("key", key), ("value", value)):
        if x.ndim != 4 or x.shape[0] != 1 or x.shape[2] != total:
            raise ValueError(
                f"{name} is {tuple(x.shape)}; a plan of {total} tokens needs (1, heads, {total}, head_dim)"
            )
    auto = "flash" if query.is_cuda and query.dtype in HALF and _flash_installed() else "sdpa"
    function = choose("prefix_attention", impl, {"sdpa": _sdpa, "flash": _flash}, auto)
    query, key, value = (x[0].transpose(0, 1) for x in (query, key, value))
    return function(query, key, value, plan, scaling, dropout).transpose(0, 1)[None]


@functools.cache
def _flash_installed() -> bool:
    return importlib.util.find_spec("flash_attn") is not None


def _sdpa(query: Tensor, key: Tensor, value: Tensor, plan: PrefixPlan, scaling: float | None, dropout: float) -> Tensor:
    sizes = [n for trunk, branches in plan.runs for n in (trunk, sum(branches.lengths) if branches else 0)]
    q, k, v = (x.split(sizes) for x in (query, key, value))
    out = []
    for i, (_, branches) in enumerate(plan.runs):
        trunk = q[2 * i], k[2 * i], v[2 * i]
        out.append(_trunk(*trunk, scaling, dropout))
        if branches:
            own = q[2 * i + 1], k[2 * i + 1], v[2 * i + 1]
            out.append(_branches(*own, *trunk[1:], branches, scaling, dropout))
    return torch.cat(out)


def _trunk(q: Tensor, k: Tensor, v: Tensor, scaling: float | None, dropout: float) -> Tensor:
    repeats = q.shape[1] // k.shape[1]
    if repeats > 1 and q.is_cuda and q.dtype not in HALF:
        # without half precision, grouped heads on CUDA would fall back to materialised scores
        k, v, repeats = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1), 1
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
    out = F.scaled_dot_product_attention(
        q, k, v, is_causal=True, dropout_p=dropout, scale=scaling, enable_gqa=repeats > 1
    )
    return out[0].transpose(0, 1)


def _branches(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    prefix_k: Tensor,
    prefix_v: Tensor,
    branches: Branches,
    scaling: float | None,
    dropout: float,
) -> Tensor:
    q = branches.pad(q)
    (g, heads, c, _), kv_heads = q.shape, k.shape[1]
    # query heads that share a key head become more queries of it: a mask and grouped heads in one fast call
    q = q.reshape(g, kv_heads, -1, q.shape[-1])
    k, v = (
        torch.cat([prefix.transpose(0, 1).expand(g, -1, -1, -1), branches.pad(own)], 2)
        for prefix, own in ((prefix_k, k), (prefix_v, v))
    )
    mask = branches.mask.repeat(heads // kv_heads, 1)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scaling)
    return branches.unpad(out.reshape(g, heads, c, -1))


def _flash(
    query: Tensor, key: Tensor, value: Tensor, plan: PrefixPlan, scaling: float | None, dropout: float
) -> Tensor:
    from flash_attn import flash_attn_varlen_func

    # causal there means: the last query sees the last key, so a completion sees all of its prompt
    rows, cu_queries, cu_keys, longest_query, longest_key = plan.spans
    return flash_attn_varlen_func(
        query,
        key[rows],
        value[rows],
        cu_queries,
        cu_keys,
        longest_query,
        longest_key,
        dropout_p=dropout,
        softmax_scale=scaling,
        causal=True,
    )


def _ints(name: str, values: Sequence[int] | Tensor, least: int) -> list[int]:
    numbers = values.tolist() if isinstance(values, Tensor) else list(values)
    if any(not isinstance(n, int) or n < least for n in numbers):
        raise ValueError(f"{name}={numbers} must be whole numbers of at least {least}")
    return numbers
