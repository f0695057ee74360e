"""IEAT: the emotion and its cause are named in `<think>`, then comes the reply. (arXiv:2601.04960)

    <think>
    I hear a shaky, thin and fast voice. The user feels fear, because they told me "they moved the exam".
    </think>

    You sound scared and worried. …

as GOAT-SLM writes it (arXiv:2507.18119): speech starts after the closing tag and its empty line; thinking is never
spoken. The template of IEAT's paper is not published: this one is cogrl's.
"""

import re
from collections.abc import Mapping
from typing import Any

from cogrl.formats.format import Format
from cogrl.formats.schema import Schema, Tag, Text
from cogrl.types import Example

_OPEN, _CLOSE = "<think>\n", "\n</think>\n\n"
_SCHEMA = Schema(Tag("think", Text("thinking"), opened="\n", closing="\n", closed="\n\n"), Text("reply"))
_TAG = re.compile(r"</?\s*think", re.I)


class Ieat(Format):
    """Fields: `thinking` and `reply`."""

    name = "ieat"

    def instruction(self, example: Example) -> str:
        return "Listen to the speaker. Think of what they feel and what made them feel it, then answer."

    def render(self, fields: Mapping[str, Any]) -> str:
        return _SCHEMA.render(fields)

    def parse(self, text: str) -> dict[str, str] | None:
        """As rendered, white space included: speech synthesis starts at the empty line."""
        fields = _SCHEMA.parse(text)
        return fields if fields and _SCHEMA.render(fields) == text.rstrip() else None

    def answer(self, text: str, example: Example | None = None) -> str:
        """What may be spoken: all that follows the thinking, or everything where there is none.

        '' where a thinking tag is misplaced, repeated or never closed: a thought must never be spoken.
        """
        thinking, closed, reply = text.partition(_CLOSE) if text.startswith(_OPEN) else ("", _CLOSE, text)
        misplaced = not closed or _TAG.search(thinking.removeprefix(_OPEN)) or _TAG.search(reply)
        return "" if misplaced else reply.strip()


IEAT = Ieat()
