"""Whether a line is English, which is all that the offline rubric reads."""

import re
import unicodedata

from cogrl.types import Example

_ENGLISH = ("en", "eng", "english")
_WAY_OUT = (
    "the offline rubric reads English only and would give a good answer nothing; have a language model judge (stages: "
    "--config configs/reward/http_judge.yaml, cogrl evaluate: --reward configs/reward/http_judge.yaml), or leave the "
    "line out"
)


def not_english(example: Example) -> str | None:
    """Why the English rubric can not grade answers to `example`, and what to do; None when it can.

    The line's `language` decides (`en`, `en-GB`, …), and the script of its words, whatever the line says. A line
    without `language` in Latin letters counts as English.
    """
    if example.language and re.split(r"[-_]", example.language.strip().lower())[0] not in _ENGLISH:
        return f"language is {example.language!r}: {_WAY_OUT}"
    if not mostly_latin(example.text):
        return f"its text is not written in Latin letters: {_WAY_OUT}"
    return None


def mostly_latin(text: str) -> bool:
    """Whether at least half of the letters are Latin; true where there are none."""
    letters = [character for character in unicodedata.normalize("NFKC", text) if character.isalpha()]
    latin = sum(unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    return 2 * latin >= len(letters)
