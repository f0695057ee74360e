"""What is known about a clip, and which claims it supports, contradicts or leaves open."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cogrl.rewards.perception.claims import SECTIONS, Claim, Kind, Section
from cogrl.words import common_subsequence

Status = Literal["supported", "contradicted", "unverifiable"]
_SIGNS: Mapping[Status, str] = {"supported": "+", "contradicted": "-", "unverifiable": "?"}
_ORDERED: tuple[Kind, ...] = ("name", "word")


@dataclass(frozen=True)
class Facts:
    """What is known about a clip, written as the claims of an answer that leaves nothing out.

    Args:
        known: those claims by kind; a kind that is missing is not known, an empty one is known to be empty. A word
            whose `subject` is '' was said by somebody.
        count_slack: a count that is off by no more than this is neither supported nor contradicted.
    """

    known: Mapping[Kind, tuple[Claim, ...]] = field(default_factory=dict)
    count_slack: int = 0

    def expected(self, section: Section) -> int | None:
        """How many claims of a section can be supported at best; None where nothing is known. Of ranks one will do."""
        mine = [claim for claims in self.known.values() for claim in claims if claim.section == section]
        return (min(1, len(mine)) if section == "description" else len(mine)) or None

    def or_else(self, other: "Facts") -> "Facts":
        """These facts, and those of another source about the kinds that these leave open."""
        slack = self.count_slack if "count" in self.known else other.count_slack
        return Facts({**other.known, **self.known}, slack)


@dataclass(frozen=True)
class CheckedClaims:
    """The claims of one answer, what became of each, and how many were expected in each section that is known."""

    claims: tuple[Claim, ...]
    statuses: tuple[Status, ...]
    expected: Mapping[Section, int]

    def count(self, status: Status, section: Section | None = None) -> int:
        """How many claims of a section, or of all, have this status."""
        return len(self.of(section, status))

    def of(self, section: Section | None = None, status: Status | None = None) -> list[tuple[Claim, Status]]:
        """The claims of a section, or of all, with this status, or with any."""
        return [
            (claim, mine)
            for claim, mine in zip(self.claims, self.statuses, strict=True)
            if section in (None, claim.section) and status in (None, mine)
        ]

    def note(self, section: Section | None = None) -> str:
        """The claims of a section, or of all, to be read: + supported, - contradicted, ? unverifiable.

        Neighbouring words of one speaker that fare alike are one piece: "+low: kettle river; -high: apple".
        """
        pieces: list[tuple[tuple[Status, Kind, str], str]] = []
        for claim, status in self.of(section):
            fate, text = (status, claim.kind, claim.subject), str(claim)
            if claim.kind == "word" and pieces and pieces[-1][0] == fate:
                text = f"{pieces.pop()[1]} {claim.value}"
            pieces.append((fate, text))
        return "; ".join(_SIGNS[status] + text.replace(";", ",") for (status, *_), text in pieces)

    def value(self, section: Section, unverifiable_cost: float = 0.5) -> float | None:
        """supported / max(expected, claimed), in [0, 1]; None where nothing is known about the section.

        What is left out counts as wrong, and every claim beyond what is expected costs. Claimed are the supported and
        the contradicted ones, and `unverifiable_cost` for each free text. An unverifiable claim in the grammar, such as
        a speaker's name where only the count is known, costs and earns nothing.
        """
        if section not in self.expected:
            return None
        mine = self.of(section)
        supported = sum(status == "supported" for _, status in mine)
        costs = {"supported": 1.0, "contradicted": 1.0}
        claimed = sum(costs.get(status, unverifiable_cost * (claim.kind == "text")) for claim, status in mine)
        return supported / max(self.expected[section], claimed)


def check(claims: Sequence[Claim], facts: Facts) -> CheckedClaims:
    """Each claim against the facts. A fact supports one claim: what is said twice is contradicted the second time.

    Names and words have to come in the order of the facts: supported are those on a longest common subsequence, each
    word with its speaker.
    """
    statuses: list[Status] = ["unverifiable"] * len(claims)
    for kind, known in facts.known.items():
        places = [i for i, claim in enumerate(claims) if claim.kind == kind]
        mine = [claims[i] for i in places]
        for i, status in zip(places, _statuses(kind, mine, known, facts.count_slack), strict=True):
            statuses[i] = status
    counts = {section: facts.expected(section) for section in SECTIONS}
    return CheckedClaims(tuple(claims), tuple(statuses), {section: n for section, n in counts.items() if n})


def _statuses(kind: Kind, mine: Sequence[Claim], known: Sequence[Claim], slack: int) -> list[Status]:
    if kind == "count":
        return [_count_status(claim, known, slack) for claim in mine]
    if kind in _ORDERED:
        kept = set(common_subsequence(known, mine, _same))
    else:
        kept = _taken_once(known, mine)
    known_ranks = {claim.value for claim in known}
    return [
        "supported"
        if i in kept
        else "unverifiable"
        if kind == "rank" and claim.value not in known_ranks
        else "contradicted"
        for i, claim in enumerate(mine)
    ]


def _same(fact: Claim, claim: Claim) -> bool:
    return fact.value == claim.value and fact.subject in ("", claim.subject)


def _taken_once(known: Sequence[Claim], mine: Sequence[Claim]) -> set[int]:
    left, kept = Counter(known), set()
    for i, claim in enumerate(mine):
        if left[claim] > 0:
            left[claim] -= 1
            kept.add(i)
    return kept


def _count_status(claim: Claim, known: Sequence[Claim], slack: int) -> Status:
    distances = [abs(int(claim.value) - int(fact.value)) for fact in known if claim.value.isdigit()]
    if not distances or min(distances) > slack:
        return "contradicted"
    return "unverifiable" if min(distances) else "supported"
