"""The arguments of a head whose logits are not kept."""

from dataclasses import dataclass, replace

from torch import Tensor

from cogrl_kernels.vocab_shard import real_rows


@dataclass(frozen=True)
class HeadInputs:
    """What `n` targets are scored with: `rows[i]` is the row of `hidden` that predicts `targets[i]`.

    Args:
        hidden: (r, d).
        weight: (v, d), with `bias` (v,).
        targets: (n,), ids of the whole vocabulary.
        rows: (n,); None: target i belongs to row i.
        temperature: (n,), by which logits are divided after `softcap`.
        group, start, vocabulary: those of a `VocabShard`, as `span` gives them.
    """

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None
    targets: Tensor
    rows: Tensor | None
    temperature: Tensor
    softcap: float | None
    group: str | None
    start: int
    vocabulary: int

    def of_shard(self) -> "HeadInputs":
        """Weight and bias without padding, and targets as rows of them; those of another shard lie outside."""
        weight, bias = real_rows(self.weight, self.bias, self.start, self.vocabulary)
        return replace(self, weight=weight, bias=bias, targets=self.targets - self.start)
