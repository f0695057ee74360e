"""What a format is: how an example is asked, how a completion is written and read, and what the user gets of it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from cogrl.types import Example


class Format(ABC):
    """A way of asking and answering. A manifest's `targets`, `formats:` of a stage and metrics are keyed by `name`.

    An own format is a subclass made without arguments; its name is its import path.
    """

    name: str
    section_names: tuple[str, ...] = ()
    """The fields that `sections` finds in a completion: a reward may credit them apart."""

    @abstractmethod
    def instruction(self, example: Example) -> str:
        """The text of the prompt that follows the audio. Raises ValueError for an example without what it asks."""

    @abstractmethod
    def render(self, fields: Mapping[str, Any]) -> str:
        """The canonical completion with these fields. Raises ValueError when `parse` would not give them back."""

    @abstractmethod
    def parse(self, text: str) -> Mapping[str, Any] | None:
        """The fields of a well-formed completion; None for any other."""

    @abstractmethod
    def answer(self, text: str, example: Example) -> str:
        """What the user hears of a completion, or the text of the choice it names; '' when there is none.

        More lenient than `parse`: other parts of the completion may be malformed.
        """

    def sections(self, text: str) -> dict[str, tuple[int, int]]:
        """Where each of `section_names` begins and ends in a completion, if it is there; none by default."""
        return {}

    def validate(self, example: Example) -> str | None:
        """Why an example can not be asked in this format and what to do about it; None when it can."""
        if example.question is None:
            return None
        return f"has a question, which format {self.name} does not ask; take a choice format or leave the line out"
