"""Finds the cues of the lexicon in tokenised sentences: which emotions a text answers, and in which facets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import get_args

from cogrl.rewards.grammar import word_set
from cogrl.rewards.lexicon import CUES, IDIOMS, Facet
from cogrl.types import EMOTIONS, Emotion

_FACETS: tuple[Facet, ...] = get_args(Facet)
_NEGATIONS = word_set("not never no without neither nor hardly stop")
_AFFIRMING = word_set("only doubt wonder")
_SUBJECTS = word_set("i you your it this that they what how sorry he she we")
_ADDRESS = word_set("you your yours yourself that this it what hear how")
_FRAMES = word_set(
    """you your sound sounds feel feels feeling feelings am are is was be being been that this it what how hear see
    sense makes make must wonder doubt get gets getting felt left find finds thing seem seems look looks for why and or
    nor more most truly such with in much"""
)
_FILLERS = word_set(
    """a an the so very really quite too bit little some just rather pretty all of more not only huge big deep real
    total complete"""
)


@dataclass(frozen=True)
class Cue:
    """One or more words; each is a tuple of alternatives, `*` ends a stem, `_` is any word."""

    words: tuple[tuple[str, ...], ...]
    emotion: Emotion | None = None
    facet: Facet | None = None


def cues(listing: str, emotion: Emotion | None = None, facet: Facet | None = None) -> tuple[Cue, ...]:
    """The cues of a comma-separated listing."""
    phrases = (phrase.split() for phrase in listing.split(","))
    return tuple(Cue(tuple(tuple(word.split("/")) for word in phrase), emotion, facet) for phrase in phrases)


class CueIndex:
    """Cues by first word, so that a text costs one cached look-up a word."""

    def __init__(self, cues: Sequence[Cue]):
        self._cues = tuple(cues)
        self._starting = lru_cache(maxsize=100_000)(self._scan)

    def find(self, words: Sequence[str]) -> list[tuple[Cue, int, int]]:
        """Every (cue, start, end) in `words`, overlapping ones included."""
        found = []
        for start, word in enumerate(words):
            for cue in self._starting(word):
                end = start + len(cue.words)
                if end - start == 1 or (end <= len(words) and all(map(_fits, cue.words[1:], words[start + 1 : end]))):
                    found.append((cue, start, end))
        return found

    def __contains__(self, text: Sequence[Sequence[str]]) -> bool:
        return any(self.find(words) for words in text)

    def _scan(self, word: str) -> tuple[Cue, ...]:
        return tuple(cue for cue in self._cues if _fits(cue.words[0], word))


def _fits(options: tuple[str, ...], word: str) -> bool:
    return any(o in (word, "_") or (o[-1] == "*" and word.startswith(o[:-1])) for o in options)


EMOTION_CUES = CueIndex(
    [cue for emotion in EMOTIONS for facet, listing in CUES[emotion].items() for cue in cues(listing, emotion, facet)]
)
_IDIOMS = CueIndex(cues(IDIOMS))


def facets(text: Sequence[Sequence[str]], emotion: Emotion, address: bool) -> dict[Emotion, set[Facet]]:
    """The facets that `text` (words of each sentence) shows of every emotion, seen from the gold `emotion`.

    Words that speak for the gold emotion speak for no other, and one word shows one facet only. A feeling that is
    denied ("not angry") or the speaker's own ("I am scared") does not count; with `address`, the gold one must also be
    framed as the listener's (`_framed`; neutral has nothing to frame).
    """
    found: dict[Emotion, set[Facet]] = {name: set() for name in EMOTIONS}
    for words in text:
        idioms = {i for _, start, end in _IDIOMS.find(words) for i in range(start, end)}
        spans: dict[Emotion, dict[Facet, list[range]]] = {}
        for cue, start, end in EMOTION_CUES.find(words):
            if idioms.isdisjoint(range(start, end)):
                spans.setdefault(cue.emotion, {}).setdefault(cue.facet, []).append(range(start, end))
        gold = _shown(words, emotion, spans.get(emotion, {}), set(), framed=address and emotion != "neutral")
        claimed = set().union(*gold.values())
        for name, by_facet in spans.items():
            shown = gold if name == emotion else _shown(words, name, by_facet, claimed, framed=False)
            found[name].update(shown)
    return found


def _shown(
    words: Sequence[str], emotion: Emotion, spans: Mapping[Facet, list[range]], claimed: set[int], framed: bool
) -> dict[Facet, set[int]]:
    """The word positions that show each facet of `emotion`; none of `claimed`, none twice."""
    shown: dict[Facet, set[int]] = {}
    used = set(claimed)
    for facet in _FACETS:
        fresh = [span for span in spans.get(facet, ()) if used.isdisjoint(span)]
        if facet == "feeling":
            fresh = [
                span for span in fresh if _felt(words, span.start, emotion) and (not framed or _framed(words, span))
            ]
        if fresh:
            shown[facet] = set().union(*fresh)
            used |= shown[facet]
    return shown


def _framed(words: Sequence[str], span: range) -> bool:
    """Whether a feeling is named to the listener: an address in the sentence and, for a single word, a lead-in."""
    if _ADDRESS.isdisjoint(words):
        return False
    before = span.start - 1
    while before >= 0 and (words[before] in _FILLERS or words[before].endswith("ly")):
        before -= 1
    return len(span) > 1 or before < 0 or words[before] in _FRAMES


def _felt(words: Sequence[str], start: int, emotion: Emotion) -> bool:
    """Whether the feeling named at `start` is not denied in the three words before it, and not the speaker's own."""
    for i in range(max(0, start - 3), start):
        if words[i] in _NEGATIONS and words[i + 1] not in _AFFIRMING:
            return False
    subject = next((i for i in range(start - 1, -1, -1) if words[i] in _SUBJECTS), start)
    own = words[subject] == "i" and words[subject + 1] in ("am", "was", "feel", "felt")
    return not own or emotion in ("happy", "neutral")
