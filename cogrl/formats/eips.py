"""EIPS: the speaker's emotion, intent and psychology and a strategy, written as a thought before the reply.
(arXiv:2606.06940)

<thought>
[Perception] sad, low: a flat and quiet voice
[Intent] …
[Psychology] …
[Strategy] …
</thought><response>…</response>
"""

import re
from collections.abc import Mapping
from typing import Any

from cogrl.formats.format import Format
from cogrl.formats.schema import Schema, Steps, Tag, Text
from cogrl.types import EMOTIONS, Emotion, Example

STEPS = ("Perception", "Intent", "Psychology", "Strategy")
_SCHEMA = Schema(Tag("thought", Steps(*STEPS), opened="\n"), Tag("response", Text("response", without="<>")))
_PERCEPTION = re.compile(r"\[Perception\]\s*([^\[\n]*)")
_RESPONSE = re.compile(r"<response>([^<>]*)(?:</response>|$)")


class Eips(Format):
    """Fields: `perception`, which starts with the emotion label, `intent`, `psychology`, `strategy`, and `response`."""

    name = "eips"
    fields = tuple(_SCHEMA.fields)

    def instruction(self, example: Example) -> str:
        return "Listen to the speaker. Perceive the emotion in the voice and think step by step, then answer."

    def render(self, fields: Mapping[str, Any]) -> str:
        return _SCHEMA.render(fields)

    def parse(self, text: str) -> dict[str, str] | None:
        return _SCHEMA.parse(text)

    def answer(self, text: str, example: Example | None = None) -> str:
        """The `<response>` part, which may be cut off; '' when there is none or more than one."""
        parts = _RESPONSE.findall(text)
        return parts[0].strip() if len(parts) == 1 else ""


EIPS = Eips()


def perceived_emotion(completion: str) -> Emotion | None:
    """The label that opens the Perception step, or None.

    Lenient about the rest of the form, strict about the label: there must be exactly one Perception step, the label
    must be its first word, and a second label in the same step makes the claim void (listing labels earns nothing).
    """
    steps = _PERCEPTION.findall(completion)
    if len(steps) != 1:
        return None
    words = re.findall(r"[a-z]+", steps[0].lower())
    named = [word for word in words if word in EMOTIONS]
    return named[0] if len(named) == 1 and words[0] == named[0] else None
