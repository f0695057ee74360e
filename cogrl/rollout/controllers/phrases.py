"""Phrases found in what is drawn, by token ids: nothing is decoded while completions are sampled."""

from collections import defaultdict
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

_BEFORE = ("", " ", "\n", ">", "(", '"')
"""Behind each of these a phrase is spelled, since a tokenizer may write it differently there."""
Kind = tuple[int | None, bool, bool]
"""A token as the search sees it: its id, where a phrase has it, and whether it begins and ends within a word."""
State = tuple[bool, frozenset[tuple[tuple[int, ...], int]]]
"""Whether the last token ended within a word, and the spellings that may be under way, with how much of each."""


class Phrases:
    """Looks for phrases in what each of `b` completions draws, never in the prompt: one step in a table a token.

    They are whole words: "tone" is found neither in "stone" nor in "tones". A phrase that ends in a letter or digit is
    found with the token behind it, any other with its own last token.

    Args:
        tokenizer: spells each phrase in every way it may come about: with a capital, and behind a blank or a bracket.
        phrases: one at least, none of them empty.
        device: of the completions.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, phrases: Sequence[str], device: torch.device) -> None:
        texts = tokenizer.batch_decode([[id] for id in range(len(tokenizer))])
        cased = {form for phrase in phrases for form in (phrase, phrase[:1].upper() + phrase[1:])}
        spellings = {ids for phrase in cased for ids in spellings_of(tokenizer, phrase)}
        named = {id for ids in spellings for id in ids}
        kinds: list[Kind] = [
            (id if id in named else None, text[:1].isalnum(), text[-1:].isalnum()) for id, text in enumerate(texts)
        ]
        kinds.append((None, False, False))  # ids that the tokenizer does not have
        numbers = {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}
        self.kinds = torch.tensor([numbers[kind] for kind in kinds], device=device)
        following, hits = transitions(spellings, list(numbers), {id: kinds[id][1:] for id in named})
        self.following, self.hits = torch.tensor(following, device=device), torch.tensor(hits, device=device)

    def begin(self, b: int) -> None:
        """Forgets what was drawn."""
        self.state = torch.zeros(b, dtype=torch.long, device=self.kinds.device)

    def found(self, rows: Int[Tensor, " r"], tokens: Int[Tensor, " r"]) -> Bool[Tensor, " r"]:
        """Whether, with the token just drawn, a phrase has been found in each of the completions `rows`."""
        place = self.state[rows], self.kinds[tokens.clamp(max=len(self.kinds) - 1)]
        self.state[rows] = self.following[place]
        return self.hits[place]


def transitions(
    spellings: set[tuple[int, ...]], kinds: Sequence[Kind], in_word: dict[int, tuple[bool, bool]]
) -> tuple[list[list[int]], list[list[bool]]]:
    """By state and kind of token the next state, and whether a phrase is found; state 0 is that before any token.

    `in_word` says of each id of a spelling whether it begins and whether it ends within a word.
    """
    beginning = defaultdict(list)
    for ids in spellings:
        beginning[ids[0]].append(ids)

    def step(state: State, kind: Kind) -> tuple[State, bool]:
        id, begins, ends = kind
        inside, under_way = state
        whole_word = not (inside and begins)
        may_go_on = [*under_way, *((ids, 0) for ids in beginning[id] if whole_word)] if id is not None else under_way
        more = {(ids, n + 1) for ids, n in may_go_on if n < len(ids) and ids[n] == id}
        finished = any(n == len(ids) for ids, n in under_way) and not begins
        closed = {(ids, n) for ids, n in more if n == len(ids) and not in_word[ids[-1]][1]}
        return (ends, frozenset(more - closed)), finished or bool(closed)

    states: dict[State, int] = {(False, frozenset()): 0}
    following, hits = [], []
    for state in (order := [*states]):
        steps = [step(state, kind) for kind in kinds]
        for new, _ in steps:
            if new not in states:
                states[new] = len(states)
                order.append(new)
        following.append([states[new] for new, _ in steps])
        hits.append([found for _, found in steps])
    return following, hits


def spellings_of(tokenizer: PreTrainedTokenizerBase, phrase: str) -> set[tuple[int, ...]]:
    """The token ids of a phrase behind each of `_BEFORE`, without those that are of what stands before it."""

    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False).input_ids

    found = set()
    for before in _BEFORE:
        whole, part = ids(before + phrase), ids(before)
        found.add(tuple(whole[len(part) :] if whole[: len(part)] == part else whole))
    return found
