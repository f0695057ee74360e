"""Words of a text as they are compared: without case and punctuation, and how many of them differ."""

import re
import unicodedata
from collections.abc import Hashable, Sequence

_BESIDE_SIGNS = re.compile(r"(?<=[\u2e80-\uffff]) | (?=[\u2e80-\uffff])")
_UNIT = re.compile(r"[\u2e80-\uffff]|[^\s\u2e80-\uffff]+")


def words(text: str) -> str:
    """Lower-case words without punctuation, one space between them (none beside Chinese); inner apostrophes stay."""
    plain = unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    return _BESIDE_SIGNS.sub("", " ".join(re.findall(r"\w+(?:'\w+)*", plain)))


def word_error_rate(truth: str, guess: str) -> float:
    """Word errors of `guess` over the words of `truth`; each Chinese or Japanese sign counts as a word."""
    wanted = _UNIT.findall(words(truth))
    return edit_distance(wanted, _UNIT.findall(words(guess))) / max(1, len(wanted))


def edit_distance(truth: Sequence[Hashable], guess: Sequence[Hashable]) -> int:
    """Insertions, deletions and substitutions that turn one sequence into the other."""
    row = list(range(len(guess) + 1))
    for i, wanted in enumerate(truth, start=1):
        previous, row = row, [i]
        for j, given in enumerate(guess, start=1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (wanted != given)))
    return row[-1]
