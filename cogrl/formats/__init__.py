"""Interim: two formats by name until the room of formats is there."""

from dataclasses import dataclass
from typing import Any

from cogrl.prompts import parse_eips, reply
from cogrl.types import Example


@dataclass(frozen=True)
class Format:
    name: str
    route: str

    def parse(self, text: str) -> Any:
        if self.route == "A":
            return parse_eips(text)
        said = reply(text, "B")
        return {"reply": said} if said else None

    def answer(self, text: str, example: Example) -> str:
        return reply(text, self.route)


def format_named(name: str) -> Format:
    return {"eips": Format("eips", "A"), "direct": Format("direct", "B")}[{"A": "eips", "B": "direct"}.get(name, name)]
