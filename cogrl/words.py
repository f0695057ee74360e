"""Words of a text as they are compared: without case and punctuation, and how many of them differ."""

import operator
import re
import unicodedata
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

T = TypeVar("T")

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


def common_subsequence(truth: Sequence[T], guess: Sequence[T], same: Callable[[T, T], bool] = operator.eq) -> list[int]:
    """The places in `guess` of a longest common subsequence of both; `same(wanted, given)` says what is equal."""
    rows = [[0] * (len(guess) + 1)]
    for wanted in reversed(truth):
        below, row = rows[-1], [0]
        for j in range(len(guess) - 1, -1, -1):
            longer = 1 + below[j + 1] if same(wanted, guess[j]) else 0
            row.append(max(longer, below[j], row[-1]))
        rows.append(row[::-1])
    places, j = [], 0
    for i, wanted in enumerate(truth):
        here, below = rows[len(truth) - i], rows[len(truth) - i - 1]
        if here[j] == below[j]:
            continue
        while not (same(wanted, guess[j]) and here[j] == 1 + below[j + 1]):
            j += 1
        places.append(j)
        j += 1
    return places
