"""Accuracy of answers to questions: choices by the format's strict parser, open answers by a rule."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Literal

from cogrl.formats.answer import Answer
from cogrl.rewards.term import Term
from cogrl.types import Example
from cogrl.words import word_error_rate, words

Rule = Literal["exact", "normalised", "wer", "numeric"]
_NUMBER = re.compile(r"(?<![\w.,])[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?!\w)(?![.,]\d)")


class Accuracy(Term):
    """1 for the right answer to the line's question, 0 for a wrong one; None where the line publishes no answer.

    A completion that is not well-formed is wrong, whatever it says. A line with choices: the choice that the answer
    names, by letter or text, has to be `answer`; an answer that names none, or several, is wrong, and none is guessed.
    An open answer is compared by `rule`:

    - exact: the same characters, but for space around them
    - normalised: the same words, whatever their case and punctuation
    - wer: 1 - min(1, word error rate), so that a value between 0 and 1 is possible
    - numeric: exactly one number, in digits, no further than `tolerance` from that of the line

    Raises ValueError for a negative tolerance and for one that no rule uses.
    """

    def __init__(self, rule: Rule = "normalised", tolerance: float = 0.0) -> None:
        if not 0 <= tolerance < math.inf or (tolerance and rule != "numeric"):
            raise ValueError(
                f"tolerance={tolerance} with rule={rule!r}: it is finite, not negative, and of rule numeric"
            )
        self.rule, self.tolerance = rule, tolerance

    def values(self, answers: Sequence[Answer]) -> list[float | None]:
        return [self._value(answer) for answer in answers]

    def validate(self, example: Example) -> str | None:
        """Also a gold answer that the rule can not compare anything with."""
        gold = example.answer
        if gold is None:
            return "no answer, which accuracy compares with; add it to this line or leave the line out"
        if example.choices:
            return None if gold in example.choices else f"answer {gold!r} is none of the choices; give the text of one"
        if self.rule == "numeric" and number_in(gold) is None:
            return f"answer {gold!r} holds no single number in digits, which rule numeric compares with"
        if self.rule in ("normalised", "wer") and not words(gold):
            return f"answer {gold!r} holds no word; choose rule exact"
        return None

    def _value(self, answer: Answer) -> float | None:
        gold, said = answer.example.answer, answer.said
        if gold is None:
            return None
        if answer.fields is None or not said:
            return 0.0
        return float(said == gold) if answer.example.choices else self.open_value(gold, said)

    def open_value(self, gold: str, said: str) -> float:
        """How right an open answer is by the rule, in [0, 1]."""
        rules: dict[Rule, Callable[[], float]] = {
            "exact": lambda: float(gold.strip() == said.strip()),
            "normalised": lambda: float(words(gold) == words(said)),
            "wer": lambda: 1 - min(1.0, word_error_rate(gold, said)),
            "numeric": lambda: self._near(number_in(gold), number_in(said)),
        }
        return rules[self.rule]()

    def _near(self, gold: float | None, said: float | None) -> float:
        return float(gold is not None and said is not None and abs(gold - said) <= self.tolerance)


def number_in(text: str) -> float | None:
    """The one number in digits that a text holds; None when there is none, or more than one."""
    found = _NUMBER.findall(text)
    return float(found[0].replace(",", "").replace("−", "-")) if len(found) == 1 else None
