"""Which choice an answer names. Strict: a letter, the text of a choice, or both; any other answer names none."""

import re
import string
import unicodedata
from collections.abc import Sequence

from cogrl.formats.eips import EIPS

LETTERS = string.ascii_uppercase
_AROUND = " \t\r\n*_`\"'“”‘’.,!。，！"
_LEAD = re.compile(
    r"(?:the\s+)?(?:correct\s+|right\s+|best\s+|final\s+)?(?:answer|option|choice)\b(?:\s+is\b)?\s*:?\s*"
    r"|(?:正确)?(?:答案|选项)(?:是|为)?\s*:?\s*|我?选择?\s*:?\s*",
    re.I,
)
_LETTER = re.compile(r"[(\[]?([A-Za-z])[)\]]?[.:、]?")
_LETTER_AND_TEXT = re.compile(r"(?:\(([A-Za-z])\)|([A-Za-z])[).:、])\s*(.+)", re.S)


def chosen(completion: str, choices: Sequence[str]) -> str | None:
    """The one of `choices` that a completion names, or None.

    After a thought (`<think>…</think>`, or `<thought>…<response>`) only what follows counts. "B", "(b)", "B.", "B. its
    text", the text alone and "The answer is B" name a choice. None for anything around it, for a letter beside another
    choice's text, for several choices, and where letter and text could be read in two ways: no answer falls back to
    one of them.
    """
    plain = _plain(after_thought(completion))
    keys = [_key(choice) for choice in choices]
    found: set[int | None] = set()
    for text in {plain, _without_lead(plain)}:
        letter, both = _LETTER.fullmatch(text), _LETTER_AND_TEXT.fullmatch(text)
        found |= {place for place, key in enumerate(keys) if key and key == _key(text)}
        if letter and _place(letter[1]) < len(choices):
            found.add(_place(letter[1]))
        elif both:
            place = _place(both[1] or both[2])
            found |= {place} if place < len(choices) and keys[place] == _key(both[3]) else set()
    return choices[found.pop()] if len(found) == 1 else None


def after_thought(completion: str) -> str:
    """What follows a thought, or everything where there is none; '' where the thought does not end."""
    if "<thought>" in completion or "<response>" in completion:
        return EIPS.answer(completion)
    if "<think>" in completion and "</think>" not in completion:
        return ""  # cut off in mid-thought
    return completion.rpartition("</think>")[2]


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip(_AROUND)


def _without_lead(text: str) -> str:
    """`option B` of "The answer is option B", then `B`."""
    for _ in range(2):
        lead = _LEAD.match(text)
        text = text[lead.end() :].strip(_AROUND) if lead else text
    return text


def _key(text: str) -> str:
    return " ".join(_plain(text).casefold().split())


def _place(letter: str) -> int:
    return LETTERS.index(letter.upper())
