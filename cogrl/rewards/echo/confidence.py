"""Accuracy shaped by confidence, as Echo's released code has it. (https://github.com/wdqqdw/Echo, reward 6)"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import takewhile
from math import exp

from cogrl.formats.answer import Answer
from cogrl.formats.chosen import LETTERS
from cogrl.rewards.accuracy import Accuracy
from cogrl.rewards.term import Term
from cogrl.types import Example

_OPENED, _CLOSED = "<answer>", "</answer>"
_BY_LETTER = re.compile(r"[(\[]?([A-Za-z])(?:[)\].:、]+\s*|\s*\Z)")
"""A letter, alone or before the text of its choice; the article of "a dog" is none."""


class ConfidentAccuracy(Term):
    """1 - (1 - c)^2 for a right answer and -c^2 for a wrong one, in [-1, 1], like a Brier score; 0 without an answer.

    c is the probability, when it was drawn, of the first token of a right answer, or of the first one of a wrong answer
    with which it leaves the text of the right one, or its letter, where it names a choice by letter.
    The paper's code has half of these values: set its weight to 0.5. None where the line publishes no answer; in an
    evaluation, where no probabilities are kept, plainly 1 or 0.

    Args:
        accuracy: says which answers are right.
    """

    bounds = (-1.0, 1.0)

    def __init__(self, accuracy: Accuracy | None = None) -> None:
        self.accuracy = accuracy or Accuracy()

    def values(self, answers: Sequence[Answer]) -> list[float | None]:
        grades = self.accuracy.values(answers)
        return [
            grade if grade is None or answer.logprobs is None else self._value(answer, grade == 1.0)
            for answer, grade in zip(answers, grades, strict=True)
        ]

    def validate(self, example: Example) -> str | None:
        return self.accuracy.validate(example)

    def _value(self, answer: Answer, right: bool) -> float:
        if answer.fields is None or not answer.said:
            return 0.0
        confidence = exp(float(answer.logprobs[deciding_token(answer, right)]))
        return 1 - (1 - confidence) ** 2 if right else -(confidence**2)


def deciding_token(answer: Answer, right: bool) -> int:
    """The sampled token in which a well-formed answer begins, or in which a wrong one leaves the right text.

    Raises ValueError where it is not known which characters each token stands for.
    """
    if _OPENED not in answer.text:
        raise ValueError(f"format {answer.format} has no <answer>, behind which this term looks for its confidence")
    if answer.token_ends is None:
        raise ValueError("it is not known which characters the tokens stand for: the engine gave no token_ends")
    start = answer.text.index(_OPENED) + len(_OPENED)
    start += len(answer.text) - start - len(answer.text[start:].lstrip())
    place = start if right else leaves_at(answer.text[start : answer.text.rindex(_CLOSED)], answer.example) + start
    return min(bisect_right(answer.token_ends, place), len(answer.token_ends) - 1)


def leaves_at(said: str, example: Example) -> int:
    """The first character of a wrong answer that is not the gold text's; after a letter of its own, that of the letter.

    An answer that ends too early leaves it at its end, where the closing tag stands.
    """
    gold = str(example.answer)
    letter = _BY_LETTER.match(said) if example.choices else None
    if letter and letter[1].upper() != LETTERS[example.choices.index(gold)]:
        return letter.start(1)
    start = letter.end() if letter else 0
    pairs = zip(said[start:].casefold(), gold.casefold(), strict=False)
    return start + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
