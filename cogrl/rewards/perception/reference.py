"""Facts from a line's gold: who says what, what is heard around it, and the right answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from cogrl.formats.answer import Answer
from cogrl.rewards.perception.claims import (
    Claim,
    Kind,
    Section,
    choice_claims,
    label_claims,
    name_claims,
    plain_name,
    word_claims,
)
from cogrl.rewards.perception.evidence import Evidence
from cogrl.rewards.perception.facts import Facts
from cogrl.types import Example, SpokenTurn

_NEEDS: dict[Section, str] = {
    "environment": "environment",
    "speaker": "speech",
    "asr": "speech",
    "description": "speech",
    "answer": "answer",
}


@dataclass(frozen=True)
class Reference(Evidence):
    """The keys `speech`, `environment` and `answer` of the manifest's line; what a line does not give is not known."""

    def facts(self, answers: Sequence[Answer]) -> list[Facts]:
        return [facts_of(answer.example) for answer in answers]

    def validate(self, example: Example, section: Section) -> str | None:
        key = _NEEDS[section]
        if getattr(example, key):
            return None
        return f"no {key}, which claims about {section} are checked against; add it to this line or leave the line out"


def facts_of(example: Example) -> Facts:
    """What the gold of a line says."""
    known: dict[Kind, tuple[Claim, ...]] = {}
    if example.environment is not None:
        known["label"] = tuple(label_claims(example.environment))
    if example.speech:
        known |= _facts_of_speech(example.speech)
    if example.answer is not None:
        known["choice"] = tuple(choice_claims(example.answer, bool(example.choices)))
    return Facts(known)


def _facts_of_speech(speech: Sequence[SpokenTurn]) -> dict[Kind, tuple[Claim, ...]]:
    names = list(dict.fromkeys(plain_name(turn.speaker) for turn in speech))
    ends = {"first": speech[0].speaker, "last": speech[-1].speaker}
    return {
        "count": (Claim("speaker", "count", str(len(names))),),
        "name": tuple(name_claims(names)),
        "word": tuple(word_claims([(plain_name(turn.speaker), turn.text) for turn in speech])),
        "rank": tuple(Claim("description", "rank", rank, plain_name(name)) for rank, name in ends.items()),
    }
