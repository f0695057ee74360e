"""Words of a text as they are compared: without case and punctuation, and how many of them differ."""

import re
import unicodedata
from collections.abc import Hashable, Sequence

_RANGES = "\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af"
CJK = re.compile(f"[{_RANGES}]")
"""A Chinese or Japanese character: it is written without spaces and counts as a word. Korean has spaces."""
_BESIDE_CJK = re.compile(f"(?<=[{_RANGES}]) | (?=[{_RANGES}])")
_UNIT = re.compile(rf"[{_RANGES}]|[^\s{_RANGES}]+")


def words(text: str) -> str:
    """Lower-case words without punctuation, one space between them (none beside Chinese); inner apostrophes stay."""
    plain = unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    return _BESIDE_CJK.sub("", " ".join(re.findall(r"\w+(?:'\w+)*", plain)))


def units(text: str) -> list[str]:
    """The words of a text in order, lower-case, without punctuation; each Chinese or Japanese character is one."""
    return _UNIT.findall(words(text))


def word_error_rate(truth: str, guess: str) -> float:
    """Word errors of `guess` over the words of `truth`, both as `units` has them."""
    wanted = units(truth)
    return edit_distance(wanted, units(guess)) / max(1, len(wanted))


def edit_distance(truth: Sequence[Hashable], guess: Sequence[Hashable]) -> int:
    """Insertions, deletions and substitutions that turn one sequence into the other."""
    row = list(range(len(guess) + 1))
    for i, wanted in enumerate(truth, start=1):
        previous, row = row, [i]
        for j, given in enumerate(guess, start=1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (wanted != given)))
    return row[-1]
