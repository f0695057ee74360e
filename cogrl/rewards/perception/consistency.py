"""The perceptual-consistency reward: what an answer says it hears, held against evidence outside its own words."""

from collections.abc import Sequence

from cogrl.formats.answer import Answer
from cogrl.rewards.perception.claims import HEARD, Section, in_sections
from cogrl.rewards.perception.evidence import Evidence, checked_claims
from cogrl.rewards.perception.facts import CheckedClaims, Status
from cogrl.rewards.perception.reference import Reference
from cogrl.rewards.term import Term
from cogrl.types import Example


class PerceptualConsistency(Term):
    """How much of what there is to hear an answer claims rightly: supported / max(expected, claimed), in [0, 1].

    Precision and coverage both count: a section that is left out is wrong, and what is claimed beyond what there is
    costs. An answer that is not well-formed claims nothing: 0. None where the evidence knows nothing about the section,
    and in formats without sections. (HyPeR's r_cons, arXiv:2604.14806, against evidence instead of its own words.)

    Args:
        section: environment, speaker, asr, description or answer; None: the mean over all of them but the answer.
        evidence: where the facts come from; None: the gold of the line, `Reference`.
        unverifiable_cost: what a claim in free text, which nothing can check, counts among those claimed. A
            contradicted claim counts 1.
        required: whether lines are refused that the evidence will know nothing about. False: the term does not apply
            to them.

    All terms with equal evidence share one check of an answer.
    """

    def __init__(
        self,
        section: Section | None = None,
        evidence: Evidence | None = None,
        unverifiable_cost: float = 0.5,
        required: bool = True,
    ) -> None:
        if not 0 <= unverifiable_cost <= 1:
            raise ValueError(f"unverifiable_cost={unverifiable_cost} must lie in [0, 1]: a contradicted claim costs 1")
        self.sections: tuple[Section, ...] = HEARD if section is None else (section,)
        self.evidence, self.unverifiable_cost, self.required = evidence or Reference(), unverifiable_cost, required

    def values(self, answers: Sequence[Answer]) -> list[float | Exception | None]:
        found = checked_claims(answers, self.evidence)
        return [self._value(answer, checked) for answer, checked in zip(answers, found, strict=True)]

    def notes(self, answers: Sequence[Answer]) -> list[str]:
        """The claims of each answer and what became of them."""
        section = self.sections[0] if len(self.sections) == 1 else None
        found = checked_claims(answers, self.evidence)
        return ["" if isinstance(checked, Exception) else checked.note(section) for checked in found]

    def validate(self, example: Example) -> str | None:
        if not self.required:
            return None
        reasons = [self.evidence.validate(example, section) for section in self.sections]
        return next(filter(None, reasons), None)

    def _value(self, answer: Answer, checked: CheckedClaims | Exception) -> float | Exception | None:
        if isinstance(checked, Exception) or not in_sections(answer):
            return checked if isinstance(checked, Exception) else None
        values = [checked.value(section, self.unverifiable_cost) for section in self.sections]
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None


class ClaimCount(Term):
    """How many claims of an answer are supported, contradicted or unverifiable: for the logs, at weight 0.

    Args:
        status: which of the three.
        section: of which section; None: of all.
        evidence: as of `PerceptualConsistency`.
    """

    bounds = (0.0, float("inf"))

    def __init__(self, status: Status, section: Section | None = None, evidence: Evidence | None = None) -> None:
        self.status, self.section, self.evidence = status, section, evidence or Reference()

    def values(self, answers: Sequence[Answer]) -> list[int | Exception | None]:
        found = checked_claims(answers, self.evidence)
        return [self._value(answer, checked) for answer, checked in zip(answers, found, strict=True)]

    def _value(self, answer: Answer, checked: CheckedClaims | Exception) -> int | Exception | None:
        if isinstance(checked, Exception):
            return checked
        return checked.count(self.status, self.section) if in_sections(answer) else None
