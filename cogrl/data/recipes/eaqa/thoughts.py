"""Who writes the thoughts that are trained on, and how a written one becomes the target of its line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from cogrl.data.recipes.eaqa.routing import Flags, flags_of
from cogrl.formats.echo import ECHO
from cogrl.types import Example


@dataclass(frozen=True)
class Thoughts:
    """By id: lines with the target `echo`, and what is wrong with them. `report` says what it took."""

    rows: Mapping[str, Example]
    flags: Mapping[str, Flags]
    report: str


@runtime_checkable
class ThoughtWriter(Protocol):
    """Writes the target `echo` of lines that have one by template. `version` names all that decides what it writes."""

    version: str

    def write(self, examples: Sequence[Example]) -> Thoughts: ...


class TemplateWriter(ThoughtWriter):
    """Leaves the thoughts as the templates of the tasks wrote them."""

    version = "templates 1"

    def write(self, examples: Sequence[Example]) -> Thoughts:
        rows = {example.id: example for example in examples}
        return Thoughts(rows, {name: flags_of(row) for name, row in rows.items()}, "of templates")


def with_thought(example: Example, fields: Mapping[str, str]) -> Example:
    """The line with a target `echo` of `thinking` and `answer`. Raises ValueError where they hold other tags."""
    return replace(example, targets={**example.targets, ECHO.name: ECHO.render(fields)})
