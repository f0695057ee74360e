"""The scoring rule of MMAU and MMAR: the words of the right choice, and no word that only a wrong choice has.

Written from the description of the rule; the scripts are `evaluation.py` of https://github.com/Sakshi113/MMAU
(arXiv:2410.19168) and `code/evaluation.py` of https://github.com/ddlBoJack/MMAR (arXiv:2505.13032), which is made from
it.
"""

import re
from collections.abc import Sequence

_WORD = re.compile(r"\b\w+\b")


def string_match(answer: str, prediction: str, choices: Sequence[str]) -> bool:
    """Whether a prediction counts as right.

    Texts are compared as sets of lower-case words (runs of letters, digits and underscores; an apostrophe or a hyphen
    parts two words). A prediction is right when it has all words of the answer and none of those that occur in other
    choices and not in the answer; words of its own do not matter. One without any word is wrong.
    """
    said, right = words(prediction), words(answer)
    wrong = {word for choice in choices for word in words(choice)} - right
    return bool(said) and right <= said and said.isdisjoint(wrong)


def words(text: str) -> set[str]:
    """The lower-case words of a text."""
    return set(_WORD.findall(text.lower()))
