"""Phrases found in what is drawn, by token ids: nothing is decoded while completions are sampled."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

_BEFORE = ("", " ", "\n", ">", "(", '"')
"""Behind each of these a phrase is spelled, since a tokenizer may write it differently there."""


class Phrases:
    """Looks for phrases in the last few tokens that each of `b` completions has drawn, never in the prompt.

    They are whole words: "tone" is found neither in "stone" nor in "tones". A phrase that ends in a letter or digit is
    found with the token behind it, any other with its own last token.

    Args:
        tokenizer: spells each phrase in every way it may come about: with a capital, and behind a blank or a bracket.
        phrases: one at least, none of them empty.
        device: of the completions.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, phrases: Sequence[str], device: torch.device) -> None:
        texts = tokenizer.batch_decode([[id] for id in range(len(tokenizer))])
        self.none = len(texts)
        """Stands for tokens that there are not: those before the first, and ids that the tokenizer does not have."""
        edges = [(text[:1].isalnum(), text[-1:].isalnum()) for text in texts]
        self.begins_in_word, self.ends_in_word = torch.tensor([*edges, (False, False)], device=device).unbind(1)
        cased = {form for phrase in phrases for form in (phrase, phrase[:1].upper() + phrase[1:])}
        spellings = sorted({ids for phrase in cased for ids in spellings_of(tokenizer, phrase)})
        open_ended = [edges[ids[-1]][1] for ids in spellings]
        lengths = [len(ids) + more for ids, more in zip(spellings, open_ended, strict=True)]
        self.width = 1 + max(lengths)  # one token more, before the longest
        rows = [
            [-1] * (self.width - length) + list(ids) + [-1] * more
            for ids, length, more in zip(spellings, lengths, open_ended, strict=True)
        ]
        self.patterns = torch.tensor(rows, device=device)
        self.before = torch.tensor([self.width - length - 1 for length in lengths], device=device)
        self.begins = torch.tensor([edges[ids[0]][0] for ids in spellings], device=device)
        self.open_ended = torch.tensor(open_ended, device=device)

    def begin(self, b: int) -> None:
        """Forgets what was drawn."""
        self.recent = torch.full((b, self.width), self.none, device=self.patterns.device)

    def found(self, rows: Int[Tensor, " r"], tokens: Int[Tensor, " r"]) -> Bool[Tensor, " r"]:
        """Whether, with the token just drawn, a phrase has been found in each of the completions `rows`."""
        recent = torch.cat([self.recent[rows, 1:], tokens.clamp(max=self.none)[:, None]], 1)
        self.recent[rows] = recent
        same = ((recent[:, None] == self.patterns) | (self.patterns < 0)).all(2)
        begun_earlier = self.begins & self.ends_in_word[recent[:, self.before]]
        goes_on = self.open_ended & self.begins_in_word[recent[:, -1:]]
        return (same & ~begun_earlier & ~goes_on).any(1)


def spellings_of(tokenizer: PreTrainedTokenizerBase, phrase: str) -> set[tuple[int, ...]]:
    """The token ids of a phrase behind each of `_BEFORE`, without those that are of what stands before it."""

    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False).input_ids

    found = set()
    for before in _BEFORE:
        whole, part = ids(before + phrase), ids(before)
        found.add(tuple(whole[len(part) :] if whole[: len(part)] == part else whole))
    return found
