"""Checks of the wording of English replies, against keyword stuffing, copying and word salad.

Heuristics over function words, not a language model: fast, deterministic, and lenient with ordinary sentences.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from cogrl.rewards.grammar import AFTER, BEFORE, ENDS_NEVER, FOLLOWS_NEVER, FUNCTION, QUESTION_STARTS, QUESTION_SUBJECTS

_CONTRACTIONS = (
    (re.compile(r"\b(?:ca|can)n't\b"), "can not"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"\blet's\b"), "let us"),
    (re.compile(r"\b(it|that|this|what|there|he|she|here)'s\b"), r"\1 is"),
    (re.compile(r"'m\b"), " am"),
    (re.compile(r"'re\b"), " are"),
    (re.compile(r"'ll\b"), " will"),
    (re.compile(r"'ve\b"), " have"),
    (re.compile(r"'d\b"), " would"),
)
_WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*")
_SENTENCE = re.compile(r"[^.!?]+[.!?]*")


def sentences(text: str) -> list[list[str]]:
    """Lower-case words of every sentence, contractions expanded; sentences without a word are left out."""
    plain = text.replace("’", "'").lower()
    for pattern, expansion in _CONTRACTIONS if "'" in plain else ():
        plain = pattern.sub(expansion, plain)
    found = (_WORD.findall(sentence) for sentence in _SENTENCE.findall(plain))
    return [words for words in found if words]


def disguised(text: str) -> bool:
    """Letters outside the Latin script, invisible or control characters, or shouting."""
    if not text.isascii():
        for char in text:
            if unicodedata.category(char) in ("Cf", "Cc", "Co", "Mn") and char != "\n":
                return True
            if char.isalpha() and not unicodedata.name(char, "").startswith("LATIN "):
                return True
    letters = [char for char in text if char.isalpha()]
    return sum(char.isupper() for char in letters) > 0.3 * len(letters)


def repetitive(text: Sequence[Sequence[str]]) -> bool:
    """A word doubled inside a sentence, a phrase of four words said twice, or few distinct words for the length."""
    if any(a == b for words in text for a, b in pairwise(words)):
        return True
    words = [word for sentence in text for word in sentence]
    phrases = list(zip(words, words[1:], words[2:], words[3:], strict=False))
    if len(set(phrases)) < len(phrases):
        return True
    return any(len(set(chunk)) < 0.6 * len(chunk) for chunk in (words[i : i + 20] for i in range(0, len(words), 20)))


def stuffed(text: Sequence[Sequence[str]]) -> bool:
    """A list rather than sentences: three scraps, hardly any function words, or six others in a row."""
    if sum(len(words) < 3 for words in text) > 2:
        return True
    content = [[word not in FUNCTION for word in words] for words in text]
    if sum(map(sum, content)) > 0.88 * sum(map(len, content)):
        return True
    return any(all(words[i : i + 6]) for words in content for i in range(len(words) - 5))


def order_slips(text: str) -> int:
    """How many neighbouring words, sentence ends and capitals no English sentence would have."""
    slips = 0
    for sentence in _SENTENCE.findall(text.replace("’", "'")):
        for clause in re.split(r"[,;:]", sentence):
            words = ["", *(word for part in sentences(clause) for word in part)]
            slips += sum(map(_clash, words, words[1:]))
        tokens = re.findall(r"[A-Za-z]+", sentence)
        if tokens:
            slips += tokens[0][0].islower() + (tokens[-1].lower() in ENDS_NEVER)
            slips += (
                tokens[0].lower() in QUESTION_STARTS and len(tokens) > 1 and tokens[1].lower() not in QUESTION_SUBJECTS
            )
            slips += sum(t[0].isupper() and t != "I" and t.lower() in FUNCTION for t in tokens[1:])
    return slips


@lru_cache(maxsize=100_000)
def _clash(first: str, second: str) -> bool:
    """Whether English never puts `second` right after `first` ('' is the start of a clause)."""
    if first in ("a", "an"):
        vowel = second[0] in "aeio" and not second.startswith(("one", "once", "eu"))
        if vowel == (first == "a") and second[0] not in "uh":
            return True
    if second in BEFORE and (first == "" or first in FUNCTION) and first not in BEFORE[second]:
        return True
    return second in FOLLOWS_NEVER.get(first, ()) or second not in AFTER.get(first, (second,))


def copied(words: Sequence[str], source: Sequence[str], run: int = 5) -> int:
    """How many of `words` lie in a run of `run` words (all of a shorter source) that `source` has, too."""
    run = min(run, len(source))
    if run < 3:
        return 0
    taken = set(zip(*(source[i:] for i in range(run)), strict=False))
    hits = [i for i in range(len(words) - run + 1) if tuple(words[i : i + run]) in taken]
    return len({j for i in hits for j in range(i, i + run)})
