"""How completions are drawn: the one owner of temperature, shared by the engine and the trainer."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """The sampling distribution. The trainer scores tokens at this same `temperature`.

    Args:
        temperature: divides the logits; > 0.
        max_new_tokens: a completion that reaches it is truncated (no end token, `finished` False).
        greedy: take the arg-max instead of sampling (evaluation); log-probabilities keep `temperature`.
    """

    temperature: float = 1.0
    max_new_tokens: int = 128
    greedy: bool = False

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(
                f"sampling.temperature={self.temperature} must be > 0; for arg-max decoding set greedy: true"
            )
        if self.max_new_tokens < 1:
            raise ValueError(f"sampling.max_new_tokens={self.max_new_tokens} must be at least 1")

    def draw(
        self, logits: Float[Tensor, "b v"], generator: torch.Generator | None = None
    ) -> tuple[Int[Tensor, " b"], Float[Tensor, " b"]]:
        """One token for each row and its log-probability under the tempered distribution."""
        logprobs = torch.log_softmax(logits.float() / self.temperature, -1)
        if self.greedy:
            tokens = logprobs.argmax(-1)
        else:
            tokens = torch.multinomial(logprobs.exp(), 1, generator=generator).squeeze(-1)
        return tokens, logprobs.gather(-1, tokens[:, None]).squeeze(-1)
