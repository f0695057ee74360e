"""What an answer claims about its clip, section by section, taken out of PAQA's fields by their grammar.

    environment  labels, by commas:               rain, faint
    speaker      count, colon, names in order:    2: low, high
    asr          name: words, by semicolons:      low: kettle river; high: window apple
    description  who is first, loudest, ...:      low is first
    answer       what the answer says:            kettle river

Looser wordings are read, too ("two speakers", "the low voice speaks first", "Speaker 1: … Speaker 2: …"); what is not
understood stays a claim, which nothing will support. (HyPeR, arXiv:2604.14806)
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from cogrl.formats import format_named
from cogrl.formats.answer import Answer
from cogrl.formats.paqa import Paqa
from cogrl.rewards.grammar import word_set
from cogrl.words import units, words

Section = Literal["environment", "speaker", "asr", "description", "answer"]
SECTIONS: tuple[Section, ...] = get_args(Section)
HEARD: tuple[Section, ...] = SECTIONS[:-1]
"""The sections that say what is heard: all but the answer."""
Kind = Literal["label", "count", "name", "word", "rank", "text", "choice"]
NO_LABEL = "none"
_NOTHING = {"none", "nothing", "silence", "silent", "quiet", "no background", "no sound", "no noise", "no environment"}
_SMALL = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_NUMBERS = {word: str(n) for n, word in enumerate(_SMALL)}
_AROUND_LABELS = word_set("a an the of in on at is are there with some background sound sounds faint loud soft")
_COUNTED = re.compile(r"(\d{1,4}|[a-z]+)(?: (?:speakers?|voices?|people|persons?|men|women))?")
_NAME = re.compile(r"\s*([^:;\n]{1,60}):(?=\s|$)")
_TURNS = re.compile(r"[;\n]|(?=\bspeaker \w+\s*:\s)", re.I)
_RANKS = ["first", "last", "loudest", "quietest", "fastest", "slowest", "highest", "lowest"]
_RANK = re.compile(
    rf"(.+?) (?:is|was|speaks|talks|comes|starts|begins|goes)(?: the)? ({'|'.join(_RANKS)})"
    r"(?: (?:voice|speaker|one|to speak))?"
)


@dataclass(frozen=True)
class Claim:
    """One thing said about a clip. `subject` is the speaker that a word or a rank is of; '' where nobody is named."""

    section: Section
    kind: Kind
    value: str
    subject: str = ""

    def __str__(self) -> str:
        joint = {"word": ": ", "rank": " is "}.get(self.kind, " ")
        return f"{self.subject}{joint}{self.value}" if self.subject else self.value


def claims_of(answer: Answer) -> tuple[Claim, ...]:
    """The claims of an answer in the order of its sections; none where it is not well-formed or not in PAQA's format.

    Each word of a turn is a claim of its own: this speaker says it here.
    """
    if answer.fields is None or not in_sections(answer):
        return ()
    fields = answer.fields
    return (
        *label_claims(fields["environment"]),
        *speaker_claims(fields["speaker"]),
        *word_claims(turns_in(fields["asr"])),
        *description_claims(fields["description"]),
        *choice_claims(answer.said, bool(answer.example.choices)),
    )


def in_sections(answer: Answer) -> bool:
    """Whether an answer was asked for in sections: in PAQA's format or in one derived from it."""
    return isinstance(format_named(answer.format), Paqa)


def label_claims(text: str) -> list[Claim]:
    """One claim a label; `none` for an environment without sound. How loud it is called is not graded."""
    bare = [_bare(words(piece)) for piece in _pieces(text)]
    return [Claim("environment", "label", label) for label in bare if label]


def speaker_claims(text: str) -> list[Claim]:
    """The count, then the names. A count that is no number ("2 or 3") is a claim, too: one that nothing supports."""
    head, colon, tail = text.partition(":")
    if not colon:
        head, _, tail = text.partition(",")
    said = words(head)
    counted = _COUNTED.fullmatch(said)
    number = _NUMBERS.get(counted[1], counted[1]) if counted else ""
    if number.isdigit():
        return [Claim("speaker", "count", str(int(number))), *name_claims(_pieces(tail))]
    first = said.partition(" ")[0]
    if colon or first.isdigit() or first in _NUMBERS:
        return [Claim("speaker", "count", f"{said}?"), *name_claims(_pieces(tail))]
    return name_claims(_pieces(text))


def name_claims(names: Sequence[str]) -> list[Claim]:
    """One claim a speaker, in the order of entry."""
    return [Claim("speaker", "name", name) for name in map(plain_name, names) if name]


def turns_in(text: str) -> list[tuple[str, str]]:
    """Speaker and words of each turn of `name: words; name: words`.

    A piece without a name goes on with the turn before it; the speaker of a first one is ''.
    """
    turns, speaker = [], ""
    for piece in filter(str.strip, _TURNS.split(text)):
        named = _NAME.match(piece)
        speaker = plain_name(named[1]) if named else speaker
        turns.append((speaker, piece[named.end() :] if named else piece))
    return turns


def word_claims(turns: Sequence[tuple[str, str]]) -> list[Claim]:
    """Each word of each turn, in order, with its speaker."""
    return [Claim("asr", "word", word, speaker) for speaker, text in turns for word in units(text)]


def description_claims(text: str) -> list[Claim]:
    """Who is first, last, loudest ... where a piece says so; any other piece is a claim as free text."""
    plain = [words(piece) for piece in re.split(r"\.(?=\s|$)|[!?]", text) for piece in _pieces(piece)]
    ranks = [(piece, _RANK.fullmatch(piece)) for piece in plain if piece]
    return [
        Claim("description", "rank", found[2], plain_name(found[1])) if found else Claim("description", "text", piece)
        for piece, found in ranks
    ]


def choice_claims(said: str, among_choices: bool) -> list[Claim]:
    """What the answer says: the text of the choice, or the words of an open answer."""
    value = said if among_choices else words(said)
    return [Claim("answer", "choice", value)] if value else []


def plain_name(name: str) -> str:
    """A speaker's name as names are compared: `low` of "The low voice"."""
    return re.sub(r"^(?:the|a|an) | (?:voice|speaker)$", "", words(name))


def _bare(label: str) -> str:
    """A label without the words around it, `none` for no sound; '' where those are all there is."""
    if label in _NOTHING:
        return NO_LABEL
    return " ".join(word for word in label.split() if word not in _AROUND_LABELS)


def _pieces(text: str) -> list[str]:
    return [piece for piece in re.split(r"[,;/&|\n]|\b(?:and|or|plus)\b", text, flags=re.I) if piece.strip()]
