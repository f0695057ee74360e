"""A declarative grammar of tagged text: one object renders completions and parses them strictly.

A schema is a sequence of parts. Fields are flat: every part that holds text has a name of its own.

    Schema(Tag("think", Mixed("thinking", Tag("seg", Text("span")))), Tag("answer", Text("answer")))
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any


class Part(ABC):
    """A piece of a grammar: the names of the fields that it holds, and of the tags that it uses."""

    fields: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    @abstractmethod
    def render(self, fields: Mapping[str, Any]) -> str:
        """Its text. Raises KeyError for a missing field."""

    @abstractmethod
    def read(self, tokens: "Tokens") -> dict[str, Any]:
        """Its fields from the next tokens. Raises Malformed when these are not its text."""


class Malformed(ValueError):
    """A text that the grammar does not produce."""


class Tokens:
    """A text cut at its tags, read from left to right."""

    def __init__(self, text: str, tags: Sequence[str]) -> None:
        names = "|".join(sorted(map(re.escape, tags), key=len, reverse=True)) or "(?!)"
        loose = re.findall(rf"</?\s*(?:{names})(?!\w)", text, re.I)
        self.items = [item for item in re.split(rf"(</?(?:{names})>)", text) if item]
        self.marks = {f"<{name}>" for name in tags} | {f"</{name}>" for name in tags}
        if len(loose) != sum(item in self.marks for item in self.items):
            raise Malformed("a tag is misspelled or not closed")

    def peek(self) -> str:
        """The next token that is no white space; '' at the end. White space before a tag is passed over."""
        while self.items and self.items[0].isspace():
            self.items.pop(0)
        return self.items[0] if self.items else ""

    def mark(self, mark: str) -> None:
        """Takes a tag. Raises Malformed for anything else."""
        if self.peek() != mark:
            raise Malformed(f"{self.peek()[:40]!r} where {mark} is due")
        self.items.pop(0)

    def text(self) -> str:
        """Takes the text before the next tag. Raises Malformed when there is none but white space."""
        if self.peek() in self.marks or not self.items:
            raise Malformed("no text")
        return self.items.pop(0)


class Text(Part):
    """Free text; it holds none of the schema's tags and none of the characters `without`."""

    def __init__(self, name: str, without: str = "") -> None:
        self.name, self.without, self.fields = name, without, (name,)

    def render(self, fields: Mapping[str, Any]) -> str:
        return fields[self.name]

    def read(self, tokens: Tokens) -> dict[str, Any]:
        text = tokens.text()
        if set(text) & set(self.without):
            raise Malformed(f"{self.name} holds one of {self.without!r}")
        return {self.name: text.strip()}


class Steps(Part):
    """Lines such as `[Perception] sad, low: a flat voice`, each label once and in order; fields are lower-case labels.

    A step is one line, and holds no bracket of either kind.
    """

    def __init__(self, *labels: str) -> None:
        self.labels, self.fields = labels, tuple(label.lower() for label in labels)
        lines = [rf"\[{re.escape(label)}\] ([^\[\]<>\n]+)\n" for label in labels]
        self.pattern = re.compile(r"\s*".join(["", *lines, ""]))

    def render(self, fields: Mapping[str, Any]) -> str:
        return "".join(f"[{label}] {fields[name]}\n" for label, name in zip(self.labels, self.fields, strict=True))

    def read(self, tokens: Tokens) -> dict[str, Any]:
        found = self.pattern.fullmatch(tokens.text())
        steps = [step.strip() for step in found.groups()] if found else [""]
        if not all(steps):
            raise Malformed(f"not the steps {', '.join(self.labels)}, one line each")
        return dict(zip(self.fields, steps, strict=True))


class Tag(Part):
    """`<name>` parts `</name>`; `opened`, `closing` and `closed` are written after and before its tags when rendered.

    White space around tags is free when a text is read, and `alias` is another name that is read, and never written.
    """

    def __init__(
        self, name: str, *parts: Part, opened: str = "", closing: str = "", closed: str = "", alias: str | None = None
    ) -> None:
        self.name, self.parts, self.names = name, parts, (name, alias) if alias else (name,)
        self.opened, self.closing, self.closed = opened, closing, closed
        self.fields = tuple(field for part in parts for field in part.fields)
        self.tags = (*self.names, *(tag for part in parts for tag in part.tags))

    def render(self, fields: Mapping[str, Any]) -> str:
        inside = "".join(part.render(fields) for part in self.parts)
        return f"<{self.name}>{self.opened}{inside}{self.closing}</{self.name}>{self.closed}"

    def read(self, tokens: Tokens) -> dict[str, Any]:
        found: dict[str, Any] = {}
        name = next((name for name in self.names if tokens.peek() == f"<{name}>"), self.name)
        tokens.mark(f"<{name}>")
        for part in self.parts:
            found |= part.read(tokens)
        tokens.mark(f"</{name}>")
        return found


class Maybe(Part):
    """A tag that may be left out, with all of its fields."""

    def __init__(self, tag: Tag) -> None:
        self.tag, self.fields, self.tags = tag, tag.fields, tag.tags

    def render(self, fields: Mapping[str, Any]) -> str:
        return self.tag.render(fields) if set(self.fields) & set(fields) else ""

    def read(self, tokens: Tokens) -> dict[str, Any]:
        return self.tag.read(tokens) if tokens.peek() == f"<{self.tag.name}>" else {}


class Mixed(Part):
    """Text with any number of one tag in it: a tuple of texts (str) and of the fields of each tag (a mapping)."""

    def __init__(self, name: str, tag: Tag) -> None:
        self.name, self.tag, self.fields, self.tags = name, tag, (name,), tag.tags

    def render(self, fields: Mapping[str, Any]) -> str:
        return "".join(piece if isinstance(piece, str) else self.tag.render(piece) for piece in fields[self.name])

    def read(self, tokens: Tokens) -> dict[str, Any]:
        pieces: list[str | dict[str, Any]] = []
        while tokens.items and (tokens.items[0] == f"<{self.tag.name}>" or tokens.items[0] not in tokens.marks):
            tag_next = tokens.items[0] in tokens.marks
            pieces.append(self.tag.read(tokens) if tag_next else tokens.items.pop(0))
        if not "".join(piece for piece in pieces if isinstance(piece, str)).strip():
            raise Malformed(f"no text in {self.name}")
        return {self.name: tuple(pieces)}


class Schema:
    """A grammar. Raises ValueError when two parts have fields or tags of the same name."""

    def __init__(self, *parts: Part) -> None:
        self.parts = parts
        self.tags = [name for part in parts for name in part.tags]
        self.fields = [name for part in parts for name in part.fields]
        for names in (self.tags, self.fields):
            if len(set(names)) < len(names):
                raise ValueError(f"a name is used twice in {names}; a parsed text would not say which part it is of")

    def parse(self, text: str) -> dict[str, Any] | None:
        """The fields, texts without the white space around them; None unless every part is there, in order, once."""
        found: dict[str, Any] = {}
        try:
            tokens = Tokens(text, self.tags)
            for part in self.parts:
                found |= part.read(tokens)
        except Malformed:
            return None
        return None if tokens.peek() else found

    def render(self, fields: Mapping[str, Any]) -> str:
        """The canonical text. Raises ValueError for fields that are missing, unknown or not to be read again."""
        unknown = set(fields) - set(self.fields)
        if unknown:
            raise ValueError(f"no such fields: {', '.join(sorted(unknown))}; known: {', '.join(self.fields)}")
        try:
            text = "".join(part.render(fields) for part in self.parts)
        except KeyError as error:
            raise ValueError(f"field {error} is missing; given: {', '.join(fields)}") from None
        if self.parse(text) is None:
            raise ValueError(f"an empty field, or markup inside one, can not be read again: {dict(fields)}")
        return text
