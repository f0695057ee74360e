"""What completions have drawn so far, by token ids, and which tokens may end a tag."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedTokenizerBase


class DrawnIds:
    """The ids that each of `b` completions has drawn, on their device; to read some of them it is waited for."""

    def __init__(self, b: int, device: torch.device) -> None:
        self.ids = torch.zeros(b, 64, dtype=torch.long, device=device)
        self.count = torch.zeros(b, dtype=torch.long, device=device)
        self.steps = 0

    def push(self, rows: Int[Tensor, " r"], tokens: Int[Tensor, " r"]) -> None:
        """One more token of the completions `rows`."""
        if self.steps == self.ids.shape[1]:
            self.ids = pad(self.ids, (0, self.steps))
        self.steps += 1
        count = self.count[rows]
        self.ids[rows, count] = tokens
        self.count[rows] = count + 1

    def of(self, rows: Int[Tensor, " k"]) -> list[list[int]]:
        """All ids of some completions."""
        counts = self.count[rows].tolist()
        return [ids[:count] for ids, count in zip(self.ids[rows].tolist(), counts, strict=True)]


def tokens_that_close(tokenizer: PreTrainedTokenizerBase, tag: str) -> Bool[Tensor, " v"]:
    """Which tokens may have the last character of `tag` in them, wherever a tokenizer cuts it and whatever follows it.

    The last entry stands for ids that the tokenizer does not have.
    """

    def may_close(text: str) -> bool:
        heads = (text[: place + 1] for place, letter in enumerate(text) if letter == tag[-1])
        return any(tag.endswith(head) or head.endswith(tag) for head in heads)

    texts = tokenizer.batch_decode([[id] for id in range(len(tokenizer))])
    return torch.tensor([*map(may_close, texts), False])
