"""Where facts about clips come from, and the claims of answers checked against them, once for all terms."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from cogrl.formats.answer import Answer
from cogrl.rewards.perception.claims import Section, claims_of
from cogrl.rewards.perception.facts import CheckedClaims, Facts, check
from cogrl.types import Example


class Evidence(ABC):
    """A source of facts about clips. None of it comes from the words of the answer that it is held against.

    `sampling_rates` are those, in Hz, at which it takes the clips' waveforms to be; none where it reads none.
    """

    sampling_rates: frozenset[int] = frozenset()

    @abstractmethod
    def facts(self, answers: Sequence[Answer]) -> Sequence[Facts | Exception]:
        """What is known about the clip of each answer, in order, or why nothing could be found out.

        It is asked once a batch; the completions of one prompt share their clip.
        """

    def validate(self, example: Example, section: Section) -> str | None:
        """Why nothing will be known about a section of answers to `example`, and what to do; None when it may be."""
        return None


@dataclass(frozen=True)
class FirstKnown(Evidence):
    """Several sources, the most trusted first: of each kind of claim the first one counts that knows about it.

    A source that fails, fails the answer, even where another one knows. Raises ValueError for no source.
    """

    sources: tuple[Evidence, ...]

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("sources is empty; give at least one, such as cogrl.rewards.perception.Reference")

    @property
    def sampling_rates(self) -> frozenset[int]:
        return frozenset().union(*(source.sampling_rates for source in self.sources))

    def facts(self, answers: Sequence[Answer]) -> list[Facts | Exception]:
        return [_joined(found) for found in zip(*(source.facts(answers) for source in self.sources), strict=True)]

    def validate(self, example: Example, section: Section) -> str | None:
        reasons = [source.validate(example, section) for source in self.sources]
        return None if None in reasons else "; ".join(filter(None, reasons))


_CHECKED: WeakKeyDictionary[Answer, dict[Evidence, CheckedClaims | Exception]] = WeakKeyDictionary()
"""What was checked already, for as long as the answer lives: the terms of a reward see the same answers in turn."""


def checked_claims(answers: Sequence[Answer], evidence: Evidence) -> list[CheckedClaims | Exception]:
    """The checked claims of each answer, or the error of the evidence; each answer is checked once a source.

    Rewards, the rollout page and evaluations all read them from here.
    """
    new = [answer for answer in dict.fromkeys(answers) if evidence not in _CHECKED.get(answer, {})]
    for answer, facts in zip(new, evidence.facts(new) if new else (), strict=True):
        found = facts if isinstance(facts, Exception) else check(claims_of(answer), facts)
        _CHECKED.setdefault(answer, {})[evidence] = found
    return [_CHECKED[answer][evidence] for answer in answers]


def _joined(found: Sequence[Facts | Exception]) -> Facts | Exception:
    joined = Facts()
    for facts in found:
        if isinstance(facts, Exception):
            return facts
        joined = joined.or_else(facts)
    return joined
