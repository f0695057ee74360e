"""What is said: pairs of two-syllable words, which all parts of the corpus share."""

import random
from collections.abc import Collection

WORDS = ("basket", "candle", "dragon", "feather", "guitar", "honey", "jacket", "lemon")
WORDS += ("mirror", "needle", "paper", "rocket", "sugar", "tiger", "window", "yellow")
Pair = tuple[str, str]


class Pairs:
    """Pairs of different words, drawn by `rng`: every word comes in both places, and no word tells of the next one.

    A pair kept for one part of the corpus would be one that a policy trained on another part has learnt to rule out.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def grid(self) -> tuple[Pair, Pair, Pair, Pair]:
        """(a, b), (c, d), (a, d), (c, b) of four words: each word stands in two of the pairs, at the same place."""
        a, b, c, d = self.rng.sample(WORDS, 4)
        return (a, b), (c, d), (a, d), (c, b)

    def pair(self, without: Collection[str]) -> Pair:
        """A pair with none of the words `without`."""
        first, second = self.rng.sample([word for word in WORDS if word not in without], 2)
        return first, second
