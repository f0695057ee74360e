"""The direct reply: what the user hears and nothing else. (arXiv:2606.06940)"""

import re
from collections.abc import Mapping
from typing import Any

from cogrl.formats.eips import STEPS
from cogrl.formats.format import Format
from cogrl.formats.schema import Schema, Text
from cogrl.types import Example

_SCHEMA = Schema(Text("response"))
_MARKUP = re.compile(r"</?(?:thought|response|think)>|\[(?:" + "|".join(STEPS) + r")\]")


class Direct(Format):
    """The one field is `response`; a text with the markup of a thought is no direct reply."""

    name = "direct"

    def instruction(self, example: Example) -> str:
        return "Listen to the speaker and answer directly with an empathetic reply."

    def render(self, fields: Mapping[str, Any]) -> str:
        text = _SCHEMA.render(fields)
        if _MARKUP.search(text):
            raise ValueError(f"a direct reply holds no markup of a thought: {text!r}")
        return text

    def parse(self, text: str) -> dict[str, str] | None:
        return None if _MARKUP.search(text) else _SCHEMA.parse(text)

    def answer(self, text: str, example: Example | None = None) -> str:
        return (self.parse(text) or {"response": ""})["response"]


DIRECT = Direct()
