"""One answer in sections, held against the gold of its line: its claims, its transcript, and what its trace implies."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from cogrl.evaluate.choice.answers import ChoiceAnswers
from cogrl.formats.answer import Answer, read_answer
from cogrl.rewards.perception import CheckedClaims, Reference, checked_claims
from cogrl.rewards.perception.claims import HEARD, Section, in_sections, plain_name, turns_in
from cogrl.types import Example
from cogrl.words import common_subsequence, edit_distance, units, word_error_rate, words


@dataclass(frozen=True, eq=False)
class Perceived:
    """An answer in a format with sections and its checked claims."""

    answer: Answer
    checked: CheckedClaims

    @property
    def example(self) -> Example:
        return self.answer.example

    def claimed(self, section: Section) -> list[str]:
        """The values of the claims of a section."""
        return [claim.value for claim, _ in self.checked.of(section)]

    def right(self, section: Section) -> float:
        """Supported claims of a section over those expected or made, whichever are more; NaN where nothing is known."""
        value = self.checked.value(section)
        return math.nan if value is None else value

    @property
    def right_claims(self) -> float:
        """The mean of `right` over the sections about which something is known; NaN where that is none."""
        known = [value for value in map(self.right, HEARD) if not math.isnan(value)]
        return sum(known) / len(known) if known else math.nan

    @cached_property
    def turns(self) -> list[tuple[str, str]]:
        """Speaker and words of each turn of the transcript; none where the answer is not well-formed."""
        return turns_in(self.answer.fields["asr"]) if self.answer.fields else []

    @property
    def transcript(self) -> str:
        """What is said to have been said, without the names."""
        return " ".join(text.strip() for _, text in self.turns)

    @property
    def word_error_rate(self) -> float:
        """Of the whole transcript, whoever speaks; NaN where the line has none."""
        return word_error_rate(spoken(self.example), self.transcript) if self.example.speech else math.nan

    @property
    def character_error_rate(self) -> float:
        """The same in characters, spaces left out."""
        gold, said = (words(text).replace(" ", "") for text in (spoken(self.example), self.transcript))
        return edit_distance(gold, said) / len(gold) if gold else math.nan

    @property
    def attribution(self) -> float:
        """Of the words that were heard, in order, the share that is given to the right speaker; NaN without any."""
        right = self.checked.count("supported", "asr")
        gold = [word for turn in self.example.speech for word in units(turn.text)]
        said = [word for _, text in self.turns for word in units(text)]
        common = len(common_subsequence(gold, said))
        return right / common if common else math.nan

    @property
    def implied(self) -> str | None:
        """The choice that the rule of the question's task finds in the trace; None where it finds none.

        Set beside the answer it tells hearing from reading: a policy may write down the right words and then not find
        the answer among them.
        """
        rule = RULES.get(self.example.task or "")
        found = rule(self) if rule and self.answer.fields else None
        plain = {words(choice): choice for choice in self.example.choices}
        return plain.get(words(found)) if found else None


def perceived(answers: ChoiceAnswers) -> list[Perceived]:
    """Each answer with its claims; empty for answers in a format without sections."""
    read = [read_answer(text, answers.format, e) for text, e in zip(answers.texts, answers.examples, strict=True)]
    if not read or not in_sections(read[0]):
        return []
    return [Perceived(answer, found) for answer, found in zip(read, checked_claims(read, Reference()), strict=True)]


def spoken(example: Example) -> str:
    """What is said in a clip, turn by turn."""
    return " ".join(turn.text for turn in example.speech)


def _said_by_the_asked_voice(perceived: Perceived) -> str | None:
    """The words of the speaker whose name the question holds."""
    asked = set(units(perceived.example.question or ""))
    found = [text for name, text in perceived.turns if name and set(units(name)) <= asked]
    return " ".join(map(str.strip, found)) or None


def _first_voice_or_words(perceived: Perceived) -> str | None:
    """Who has the first turn where the choices are speakers, else what is said in it."""
    speakers = {words(turn.speaker) for turn in perceived.example.speech}
    among_speakers = not speakers.isdisjoint(map(words, perceived.example.choices))
    return _first([plain_name(name) if among_speakers else text for name, text in perceived.turns])


def _first(values: Sequence[str]) -> str | None:
    return values[0] if values else None


RULES: Mapping[str, Callable[[Perceived], str | None]] = {
    "say": _said_by_the_asked_voice,
    "count": lambda perceived: _first(perceived.claimed("speaker")),
    "environment": lambda perceived: _first(perceived.claimed("environment")),
    "first": _first_voice_or_words,
}
"""By task of PAQA: what a trace says the answer is."""
