"""Choices whose order and right answers are balanced, so that no rule of letters and option texts beats chance."""

import itertools
import random
from collections.abc import Iterator, Sequence


def latin_square(options: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Four times (choices, answer) of four options: each is right once, and stands once at every letter.

    Every letter is right once. An order is the exclusive or of the place and a number, and the right letters are a
    transversal of that Latin square.
    """
    for shift, letter in enumerate((0, 2, 3, 1)):
        choices = tuple(options[place ^ shift] for place in range(4))
        yield choices, choices[letter]


def combinations(count: int) -> list[tuple[int, int]]:
    """Every (place of the right option, its letter)."""
    return list(itertools.product(range(count), repeat=2))


def placed(options: Sequence[str], answer: str, letter: int, rng: random.Random) -> tuple[str, ...]:
    """The options in an order drawn by `rng`, the answer at the place of its letter."""
    others = [option for option in options if option != answer]
    rng.shuffle(others)
    return (*others[:letter], answer, *others[letter:])
