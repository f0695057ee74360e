"""What to measure: the sizes, and the defaults that suit this machine."""

from dataclasses import dataclass

import torch

from cogrl_bench.operation import Head, Setting

CPU_TOKENS, CPU_HEADS, CPU_REPEATS = (512,), (Head(256, 16384),), 5
CPU_LOSS_TOKENS = (65536,)
GROUPED_TOKENS, GROUPED_REPEATS = (512,), 2
CUDA_TOKENS, CUDA_REPEATS = (2048, 8192, 32768), 20
CUDA_LOSS_TOKENS = (65536, 262144, 1048576)
CUDA_HEADS = (
    Head(576, 49152),
    Head(896, 151936),
    Head(2048, 151936),
    Head(3584, 152064),
    Head(4096, 128256),
    Head(2304, 256000, softcap=30.0),
)
"""SmolLM2-135M, Qwen2-0.5B, Qwen2.5-3B, Qwen2.5-7B, Llama-3-8B, Gemma-2-2B."""


@dataclass(frozen=True)
class Plan:
    """Options of the command; None takes what suits the device."""

    operations: tuple[str, ...]
    device: torch.device
    dtype: torch.dtype
    tokens: tuple[int, ...] | None = None
    heads: tuple[Head, ...] | None = None
    providers: tuple[str, ...] | None = None
    modes: tuple[str, ...] = ("score", "fwd", "bwd", "full")
    repeats: int | None = None
    rollouts: int = 8
    lengths: str = "uniform"
    zero_advantages: float = 0.0
    frozen_head: bool = False
    cold_cache: bool = False
    memory: bool = True
    seed: int = 0

    @property
    def rounds(self) -> int:
        return self.repeats or (CUDA_REPEATS if self.device.type == "cuda" else CPU_REPEATS)

    @property
    def grouped_rounds(self) -> int:
        return self.repeats or GROUPED_REPEATS

    def settings(self, uses_head: bool) -> list[Setting]:
        """Every size, small ones first."""
        on_gpu = self.device.type == "cuda"
        if uses_head:
            tokens, heads = (CUDA_TOKENS, CUDA_HEADS) if on_gpu else (CPU_TOKENS, CPU_HEADS)
        else:
            tokens, heads = (CUDA_LOSS_TOKENS if on_gpu else CPU_LOSS_TOKENS), (None,)
        heads = (self.heads or heads) if uses_head else heads
        return [
            Setting(
                tokens=count,
                head=head,
                device=self.device,
                dtype=self.dtype,
                rollouts=min(self.rollouts, count),
                lengths=self.lengths,
                zero_advantages=self.zero_advantages,
                frozen_head=self.frozen_head,
                seed=self.seed,
            )
            for head in heads
            for count in self.tokens or tokens
        ]
