"""What is heard, in plain words: transcription and captioning, whatever else a line asks for."""

from collections.abc import Mapping
from typing import Any

from cogrl.formats.format import Format
from cogrl.formats.schema import Schema, Text
from cogrl.types import Example

_SCHEMA = Schema(Text("caption"))


class Caption(Format):
    """The one field is `caption`. Questions of a line are not asked, so any line will do."""

    name = "caption"

    def instruction(self, example: Example) -> str:
        return "Write down what you hear."

    def render(self, fields: Mapping[str, Any]) -> str:
        return _SCHEMA.render(fields)

    def parse(self, text: str) -> dict[str, str] | None:
        return _SCHEMA.parse(text)

    def answer(self, text: str, example: Example) -> str:
        return text.strip()

    def validate(self, example: Example) -> str | None:
        return None


CAPTION = Caption()
