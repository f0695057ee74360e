"""What is said: pairs of two-syllable words, of which no two parts of the corpus share one."""

import random
from collections.abc import Collection, Mapping

WORDS = ("apple", "basket", "button", "candle", "carpet", "copper", "dragon", "feather")
WORDS += ("garden", "guitar", "hammer", "honey", "jacket", "kettle", "ladder", "lemon")
WORDS += ("mirror", "monkey", "needle", "paper", "pepper", "pillow", "pocket", "rabbit")
WORDS += ("ribbon", "river", "rocket", "silver", "spider", "sugar", "tiger", "window")
_GROUPS = 8
_SUMS: Mapping[str, tuple[int, ...]] = {"sft": (0, 1, 2, 3), "rl": (4, 5), "val": (6,), "test": (7,)}
Pair = tuple[str, str]


class Pairs:
    """The word pairs of one part of the corpus: every word comes in both places, no pair in two parts.

    The words, in an order drawn by `seed`, are eight groups; the numbers of the groups of a pair add up, modulo eight,
    to a number that belongs to one part.
    """

    def __init__(self, part: str, seed: int, rng: random.Random) -> None:
        order = list(WORDS)
        random.Random(f"paqa/words/{seed}").shuffle(order)
        self.groups, self.sums, self.rng = [order[group::_GROUPS] for group in range(_GROUPS)], _SUMS[part], rng

    def grid(self) -> tuple[Pair, Pair, Pair, Pair]:
        """(a, b), (c, d), (a, d), (c, b) of four words: each word stands in two of the pairs, at the same place."""
        first = self.rng.randrange(_GROUPS)
        second = (self.rng.choice(self.sums) - first) % _GROUPS
        a, c = self.rng.sample(self.groups[first], 2)
        b, d = self.rng.sample([word for word in self.groups[second] if word not in (a, c)], 2)
        return (a, b), (c, d), (a, d), (c, b)

    def pair(self, without: Collection[str]) -> Pair:
        """A pair with none of the words `without`."""
        while True:
            pair = self.grid()[0]
            if not set(pair) & set(without):
                return pair
