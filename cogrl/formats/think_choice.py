"""A question about the audio, thought about before it is answered: `<think>…</think><answer>…</answer>`.

As training in the manner of DeepSeek-R1 writes it. (R1-AQA, arXiv:2503.11197; Ke-Omni-R, https://github.com/shuaijiang/Ke-Omni-R)
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from cogrl.formats.choice import CHOICE, Choice
from cogrl.formats.schema import Schema, Tag, Text
from cogrl.types import Example

_ORDERS = {
    "en": (
        "Think first, between <think> and </think>; then give {what} between <answer> and </answer>.",
        "one choice, by its letter or its text,",
        "the answer",
    ),
    "zh": (
        "先在 <think> 和 </think> 之间思考，再在 <answer> 和 </answer> 之间给出{what}。",
        "一个选项的字母或内容",
        "答案",
    ),
}


class ThinkChoice(Choice):
    """The question of `choice`, and the order to think. Fields: `thinking` and `answer`."""

    name = "think_choice"
    schema: ClassVar[Schema] = Schema(Tag("think", Text("thinking")), Tag("answer", Text("answer")))
    orders: ClassVar[Mapping[str, tuple[str, str, str]]] = _ORDERS

    def instruction(self, example: Example) -> str:
        order, letter, anything = self.orders.get(example.language or "", self.orders["en"])
        return "\n".join([*self.question(example), order.format(what=letter if example.choices else anything)])

    def render(self, fields: Mapping[str, Any]) -> str:
        return self.schema.render(fields)

    def parse(self, text: str) -> dict[str, Any] | None:
        return self.schema.parse(text)

    def answer(self, text: str, example: Example) -> str:
        """The text of the one `<answer>`, read as in `choice`; '' when it is missing, repeated or in the thought."""
        before, opened, rest = text.partition("<answer>")
        said, closed, after = rest.partition("</answer>")
        thought = before.count("<think>") == before.count("</think>") <= 1
        more = "<answer>" in said + after or "</answer>" in before + after
        return CHOICE.answer(said, example) if opened and closed and thought and not more else ""


THINK_CHOICE = ThinkChoice()
