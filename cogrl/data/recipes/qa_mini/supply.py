"""What questions are made of, given out once: the speakers of a split, its sentences and its lists of words."""

import itertools
import random
from collections.abc import Collection, Sequence

from cogrl.data.synthesis.voices import Speaker

_NAMES = ("Anna", "David", "Helen", "Martin", "Oscar", "Peter", "Robert", "Susan")
_VERBS = ("broke", "found", "hid", "kept", "lost", "moved", "sold", "wanted")
NOUNS = ("apple", "boat", "book", "bottle", "box", "bread", "bucket", "cake", "candle", "chair")
NOUNS += ("clock", "coat", "cup", "desk", "door", "fork", "hat", "key", "lamp", "lemon")
NOUNS += ("map", "pillow", "plate", "rabbit", "soap", "table", "wagon", "window")
Sentence = tuple[str, str, str]
"""A name, a verb and a noun."""


class Sentences:
    """1,792 sentences, "Anna sold the boat.", in an order drawn by `rng`; each is given out once."""

    def __init__(self, rng: random.Random) -> None:
        self.left: list[Sentence] = list(itertools.product(_NAMES, _VERBS, NOUNS))
        rng.shuffle(self.left)

    def take(self, count: int) -> list[str]:
        """`count` sentences without a word in common but "the". Raises ValueError when there are no more."""
        found: list[Sentence] = []
        for sentence in self.left:
            if len(found) < count and not any(set(sentence) & set(other) for other in found):
                found.append(sentence)
        if len(found) < count:
            raise ValueError("the plan needs more than the 1,792 sentences there are; ask for fewer blocks")
        self.left = [sentence for sentence in self.left if sentence not in found]
        return [f"{name} {verb} the {noun}." for name, verb, noun in found]


class WordLists:
    """Lists of different nouns, drawn by `rng`; no two of one corpus hold the same words."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.left = rng, dict[int, list[tuple[str, ...]]]()

    def take(self, count: int, first: Sequence[str] = (), without: Collection[str] = ()) -> list[str]:
        """`count` nouns: those of `first`, then others that are not in `without`, in any order.

        Raises ValueError when every such list was given out.
        """
        if count not in self.left:
            self.left[count] = list(itertools.combinations(NOUNS, count))
        left, others = self.left[count], set(without) - set(first)
        fits = lambda words: others.isdisjoint(words) and set(first).issubset(words)
        fitting = list(filter(fits, left)) if first or others else left
        if not fitting:
            raise ValueError(f"the plan needs more than all lists of {count} words; ask for fewer blocks")
        words = self.rng.choice(fitting)
        left.remove(words)
        rest = [noun for noun in words if noun not in first]
        self.rng.shuffle(rest)
        return [*first, *rest]


class Supply:
    """The speakers of one split, in turn, and the sentences and word lists of all splits."""

    def __init__(
        self, speakers: Sequence[Speaker], sentences: Sentences, word_lists: WordLists, rng: random.Random
    ) -> None:
        self.sentences, self.word_lists, self.rng = sentences, word_lists, rng
        self.readers = itertools.cycle(speakers)
        women, men = ([speaker for speaker in speakers if speaker.female is female] for female in (True, False))
        self.pairs = itertools.cycle(list(zip(women, men, strict=True)))
