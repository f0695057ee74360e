"""PAQA's structured trace: plan, what is heard by section, reasoning, then a response, perhaps a reflection, an answer.
(HyPeR, arXiv:2604.14806)

<THINK><PLANNING>…</PLANNING><CAPTION><ENV>…</ENV><SPEAKER>…</SPEAKER><ASR>…</ASR><DESCRIPTION>…</DESCRIPTION></CAPTION>
<REASONING>…</REASONING><SUMMARY>…</SUMMARY></THINK><RESPONSE>…</RESPONSE><REFLECT>…</REFLECT><FINAL_ANSWER>…</FINAL_ANSWER>

The paper says ENV and its code BGM: both are read, ENV is written. REFLECT may be left out.
"""

import re
from collections.abc import Mapping
from typing import Any

from cogrl.formats.choice import CHOICE, Choice
from cogrl.formats.schema import Maybe, Schema, Tag, Text
from cogrl.types import Example

SECTIONS: Mapping[str, str] = {
    "planning": "what to listen for",
    "environment": "what is heard around the speech, or none",
    "speaker": "how many people speak, and who",
    "asr": "name: words; name: words",
    "description": "what else is heard",
    "reasoning": "from what is heard to the answer",
    "summary": "the conclusion",
    "response": "the answer",
    "reflect": "what is wrong with the answer, citing environment, speaker and words; only where it is wrong",
    "final_answer": "the answer",
}
"""What each field holds, in the order of the trace: said alike by the instruction and by the schema for annotators."""

_TAGS = {"environment": "ENV"}
_CAPTION = ("environment", "speaker", "asr", "description")


def _tag(field: str, alias: str | None = None) -> Tag:
    return Tag(_TAGS.get(field, field.upper()), Text(field), alias=alias)


_SCHEMA = Schema(
    Tag(
        "THINK",
        _tag("planning"),
        Tag("CAPTION", _tag("environment", alias="BGM"), *map(_tag, _CAPTION[1:])),
        _tag("reasoning"),
        _tag("summary"),
    ),
    _tag("response"),
    Maybe(_tag("reflect")),
    _tag("final_answer"),
)
_LETTER_AND_TEXT = re.compile(r"<LETTER>\s*(\S+?)\s*</LETTER>\s*<TEXT>(.*?)</TEXT>", re.S)
_ORDER = f"Answer in this form: {_SCHEMA.render({field: SECTIONS[field] for field in SECTIONS if field != 'reflect'})}"


class Paqa(Choice):
    """The question of `choice`, and the order to write down what is heard, by section, before the answer.

    Fields: those of `SECTIONS`; `reflect` only where it was written.
    """

    name = "paqa"
    tags = tuple(_SCHEMA.tags)
    section_names = tuple(SECTIONS)

    def instruction(self, example: Example) -> str:
        return "\n".join([*self.question(example), _ORDER])

    def render(self, fields: Mapping[str, Any]) -> str:
        return _SCHEMA.render(fields)

    def parse(self, text: str) -> dict[str, str] | None:
        return _SCHEMA.parse(text)

    def answer(self, text: str, example: Example) -> str:
        """The text of the one FINAL_ANSWER, else of the one RESPONSE, read as in `choice`; '' when either is repeated.

        Both have to stand behind the thought. `<LETTER>B</LETTER><TEXT>…</TEXT>` names B where the text agrees.
        """
        behind = text.rpartition("</THINK>")[2] if "</THINK>" in text or "<THINK>" not in text else ""
        for tag in ("FINAL_ANSWER", "RESPONSE"):
            found = re.findall(rf"<{tag}>(.*?)</{tag}>", behind, re.S)
            if found or f"<{tag}>" in behind:
                said = _LETTER_AND_TEXT.sub(r"\1. \2", found[0]) if len(found) == 1 else ""
                return "" if f"<{tag}>" in said else CHOICE.answer(said, example)
        return ""

    def sections(self, text: str) -> dict[str, tuple[int, int]]:
        """Each field with its tags, where it stands; of a repeated one the first."""
        names = {field: _TAGS.get(field, field.upper()) for field in SECTIONS} | {"environment": "(?:ENV|BGM)"}
        found = ((field, re.search(rf"<{tag}>.*?</{tag}>", text, re.S)) for field, tag in names.items())
        return {field: place.span() for field, place in found if place}

    def json_schema(self) -> dict[str, Any]:
        """The fields as a JSON schema, for an annotator that answers in JSON."""
        properties = {field: {"type": "string", "description": what} for field, what in SECTIONS.items()}
        required = [field for field in SECTIONS if field != "reflect"]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


PAQA = Paqa()
