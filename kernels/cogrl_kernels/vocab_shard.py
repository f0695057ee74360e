"""A head whose vocabulary is spread over ranks: each holds some rows of the weight and the same hidden states.

One all-gather of four numbers a row makes the softmax whole, merged element by element in the order of ranks, so that
ranks on like devices compute the same bits. Backward needs the hidden states' gradient summed over ranks and nothing
else.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class VocabShard:
    """This rank's rows of the weight are the ids from `start` on; the whole vocabulary has `vocabulary` ids.

    Rows beyond the vocabulary are padding: never counted, gradient zero. `group` is the process group that shares the
    head, None the default one. Every rank must make the same calls with the same targets.
    """

    start: int
    vocabulary: int
    group: dist.ProcessGroup | None = None

    @property
    def group_name(self) -> str:
        """How the operators of a compiled graph name the group."""
        return (dist.group.WORLD if self.group is None else self.group).group_name


def span(shard: VocabShard | None, weight: Tensor) -> tuple[str | None, int, int]:
    """(group name, start, vocabulary), as an operator takes it; a head without a shard is all of the vocabulary."""
    return (None, 0, len(weight)) if shard is None else (shard.group_name, shard.start, shard.vocabulary)


def real_rows(weight: Tensor, bias: Tensor | None, start: int, vocabulary: int) -> tuple[Tensor, Tensor | None]:
    """Both without the rows beyond the vocabulary: the last shard may be padded to a multiple of the ranks."""
    return weight[: vocabulary - start], None if bias is None else bias[: vocabulary - start]


def merge(partials: tuple[Tensor, ...], group_name: str) -> tuple[Tensor, ...]:
    """(peak, total, first, chosen) of the whole vocabulary from those of this rank's part of it, (m,) each."""
    mine = torch.stack(partials)
    group = dist.distributed_c10d._resolve_process_group(group_name)
    parts = [torch.empty_like(mine) for _ in range(dist.get_world_size(group))]
    dist.all_gather(parts, mine, group=group)
    peaks, totals, firsts, chosen = torch.stack(parts, 1)
    peak = peaks.amax(0)
    shift = peaks - peak
    decay = shift.exp()
    total = first = torch.zeros_like(peak)
    for rank in range(len(parts)):
        total = total + decay[rank] * totals[rank]
        first = first + decay[rank] * (firsts[rank] + shift[rank] * totals[rank])
    return peak, total, first, chosen.amax(0)


def sum_over_ranks_(x: Tensor, group_name: str) -> Tensor:
    """`x` plus those of the other ranks, in place."""
    dist.all_reduce(x, group=dist.distributed_c10d._resolve_process_group(group_name))
    return x
