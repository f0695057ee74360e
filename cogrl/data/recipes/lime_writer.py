"""Writers of LIME's sentences, and the checks that no sentence names or implies how the speaker feels.

Semantic decoupling (arXiv:2606.06940, section 2): one emotionally ambiguous sentence, later spoken with every emotion.
Writers make candidates: `lime_grammar` on this machine, `lime_writer_chat` with a language model. `Selection` checks
each of them, keeps what passes and counts what does not. The lists behind the checks are words, not models: a sentence
that leans to one side without a word of theirs passes.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from cogrl.data.recipes.ieat_checks import named_emotions
from cogrl.types import Sentiment
from cogrl.words import CJK, units, words

Polarity = Callable[[str], Sentiment]
"""The sentiment of a text's words, such as `cogrl.evaluate.polarity.text_sentiment` (English)."""

_PLAIN = re.compile(r"\w[\w ,'’，、-]*[.。]")


@dataclass(frozen=True)
class SentenceRules:
    """What a sentence may be. Words are counted as `units` has them. Without `polarity` sentiment is not checked."""

    language: str = "en"
    fewest_words: int = 4
    most_words: int = 18
    polarity: Polarity | None = None

    def validate(self, text: str) -> tuple[str, str] | None:
        """(reason, detail) why the text can not be spoken with any emotion; None when it can."""
        count = len(units(text))
        if not self.fewest_words <= count <= self.most_words:
            return "length", f"{count} words, {self.fewest_words} to {self.most_words} are wanted"
        # one plain statement: marks such as ! ? … and a second sentence suggest an emotion
        if not _PLAIN.fullmatch(text):
            return "punctuation", "letters, commas and one full stop at the end are wanted"
        if bool(CJK.search(text)) != (self.language == "zh"):
            return "language", f"is not written in {self.language}"
        named = named_emotions(text)
        if named:
            return "emotion word", f"names {', '.join(sorted(named))}"
        leaning = self.polarity(text) if self.polarity else "neutral"
        return None if leaning == "neutral" else ("polarity", f"the words are {leaning}")


@dataclass
class Selection:
    """The sentences that passed, by scenario, in the order they came; what did not pass, and how many are wanted."""

    wanted: Mapping[str, int]
    rules: SentenceRules
    kept: dict[str, list[str]] = field(default_factory=dict)
    rejected: list[dict[str, str]] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def missing(self, scenario: str) -> int:
        """How many more sentences this scenario needs."""
        return self.wanted[scenario] - len(self.kept.get(scenario, []))

    def offer(self, scenario: str, text: str) -> None:
        """Keeps or rejects a candidate; equal words are the same text. A scenario that has enough takes no more."""
        if self.missing(scenario) <= 0:
            return
        text = " ".join(text.split())
        refused = self.rules.validate(text)
        if refused is None and words(text) in self._seen:
            refused = "duplicate", "these words are there already"
        if refused is None:
            self._seen.add(words(text))
            self.kept.setdefault(scenario, []).append(text)
        else:
            reason, detail = refused
            self.rejected.append({"scenario": scenario, "text": text, "reason": reason, "detail": detail})

    @property
    def reasons(self) -> Counter[str]:
        return Counter(entry["reason"] for entry in self.rejected)

    def check_complete(self, remedy: str) -> None:
        """Raises ValueError for scenarios with too few sentences, with the reasons, and `remedy`: what to do."""
        short = {name: self.missing(name) for name in self.wanted if self.missing(name) > 0}
        if short:
            some = ", ".join(f"{name} {self.wanted[name] - n} of {self.wanted[name]}" for name, n in short.items())
            why = ", ".join(f"{count} for {reason}" for reason, count in self.reasons.most_common())
            raise ValueError(f"too few sentences ({some}; rejected: {why or 'none'}); {remedy}")


@runtime_checkable
class Writer(Protocol):
    """Fills a selection. `version` names all that decides what it writes, `licence` the terms of its sentences."""

    version: str
    licence: str

    def write(self, selection: Selection, seed: int) -> str:
        """Offers sentences until every scenario has enough; returns a line about what it took.

        Raises ValueError when it can not, and ConnectionError when answers did not come.
        """
        ...
