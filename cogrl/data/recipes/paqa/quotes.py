"""The quote-existence test: what a trace attributes to a speaker has to be in the transcript.

(HyPeR, arXiv:2604.14806, drops items below 0.85)
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from cogrl.types import SpokenTurn
from cogrl.words import words

LEAST_OVERLAP = 0.85
_QUOTED = re.compile(r"[\"“]([^\"“”]{2,})[\"”]")
_ENDS = r"(?=,? (?:not|and|but|before|after|while|so)\b|[,;:.!?\"“”]|$)"


def missing_quotes(fields: Mapping[str, str], speech: Sequence[SpokenTurn], among: Collection[str]) -> list[str]:
    """Why the fields `among` quote what nobody says: one message for each quote that overlaps less than 0.85.

    Words that a speaker is named for are looked for in the turns of that speaker, other quotes in all of them.
    """
    wrong = []
    for field in among:
        for speaker, quote in quotes(field, fields.get(field, ""), {turn.speaker for turn in speech}):
            said = " ".join(turn.text for turn in speech if speaker in (None, turn.speaker))
            found = overlap(quote, said)
            if found < LEAST_OVERLAP:
                of = f"{speaker}: " if speaker else ""
                wrong.append(f"{field} quotes {of}{quote!r}, overlap {found:.2f} with what is said")
    return wrong


def quotes(field: str, text: str, speakers: Collection[str]) -> Iterator[tuple[str | None, str]]:
    """(speaker or None, words) of every quote: turns of `asr`, `<speaker> says …`, and what stands in double quotes."""
    names = "|".join(sorted(map(re.escape, speakers), key=len, reverse=True)) or "(?!)"
    if field == "asr":
        for turn in re.split(rf";\s*(?=(?:{names})\s*:)", text):
            speaker, colon, said = turn.partition(":")
            yield (speaker.strip(), said.strip()) if colon and speaker.strip() in speakers else (None, turn.strip())
        return
    for found in re.finditer(rf"\b({names}) says:? [\"“]?(.+?){_ENDS}", text):
        yield found[1], found[2]
    yield from ((None, found[1]) for found in _QUOTED.finditer(text))


def overlap(quote: str, transcript: str) -> float:
    """1 - edits of characters, over those of the quote, of the place in the transcript that is most like it; in [0, 1].

    Case and punctuation do not count. A quote without words is nowhere.
    """
    wanted, given = words(quote), words(transcript)
    if not wanted:
        return 0.0
    row = [0] * (len(given) + 1)  # the place may begin and end anywhere
    for i, letter in enumerate(wanted, start=1):
        previous, row = row, [i]
        for j, other in enumerate(given, start=1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (letter != other)))
    return max(0.0, 1 - min(row) / len(wanted))
