"""How a multiple-choice question is put to a policy."""

import string

from cogrl.types import Example

LETTERS = string.ascii_uppercase
_ORDERS = {"zh": "只回答一个选项的字母。"}
_ORDER = "Answer with the letter of one choice and nothing else."


def question_prompt(example: Example) -> str:
    """The question, its choices by letter, and the order to name one; the order is in the line's language, en or zh.

    Raises ValueError for more choices than there are letters.
    """
    if len(example.choices) > len(LETTERS):
        name = f"{example.where} ({example.id})"
        raise ValueError(f"{name}: {len(example.choices)} choices, but only {len(LETTERS)} letters; leave the line out")
    listed = [f"{letter}. {choice}" for letter, choice in zip(LETTERS, example.choices, strict=False)]
    return "\n".join([str(example.question), *listed, _ORDERS.get(example.language or "", _ORDER)])
