"""A question about the audio, with lettered choices or open, answered plainly."""

from collections.abc import Mapping
from typing import Any

from cogrl.formats.chosen import LETTERS, after_thought, chosen
from cogrl.formats.format import Format
from cogrl.formats.schema import Schema, Text
from cogrl.types import Example

_SCHEMA = Schema(Text("answer"))
_ORDERS = {"zh": "只回答一个选项的字母或内容。"}
_ORDER = "Answer with one choice, by its letter or its text, and nothing else."


class Choice(Format):
    """The question, its choices by letter, and the order to name one, in the line's language: en or zh.

    A question without choices is asked as it is. The one field is `answer`, the text as it was said.
    """

    name = "choice"

    def instruction(self, example: Example) -> str:
        order = [_ORDERS.get(example.language or "", _ORDER)] if example.choices else []
        return "\n".join([*self.question(example), *order])

    def question(self, example: Example) -> list[str]:
        """The question and one line a choice. Raises ValueError where `validate` gives a reason."""
        reason = self.validate(example)
        if reason:
            raise ValueError(f"{example.where} ({example.id}): {reason}")
        choices = zip(LETTERS, example.choices, strict=False)
        return [str(example.question), *(f"{letter}. {choice}" for letter, choice in choices)]

    def render(self, fields: Mapping[str, Any]) -> str:
        return _SCHEMA.render(fields)

    def parse(self, text: str) -> dict[str, str] | None:
        return _SCHEMA.parse(text)

    def answer(self, text: str, example: Example) -> str:
        """The one choice that is named, see `chosen`; of an open question all that follows a thought."""
        return (chosen(text, example.choices) or "") if example.choices else after_thought(text).strip()

    def validate(self, example: Example) -> str | None:
        if example.question is None:
            return f"has no question, which format {self.name} asks; add question (and choices), or take another format"
        if len(example.choices) > len(LETTERS):
            return f"{len(example.choices)} choices, but only {len(LETTERS)} letters; leave the line out"
        return None


CHOICE = Choice()
