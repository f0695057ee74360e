"""Who is quoted with which words in free text, and how alike two texts are."""

import re
from collections.abc import Sequence

from cogrl.rewards.perception.claims import plain_name
from cogrl.words import edit_distance, words

_SPOKEN = re.compile(
    r"(?P<name>\w+(?: \d+)?)(?: voice)? (?:says|said|asks|asked|answers|answered|replies|replied)\s*[:,]?\s*"
    r"(?:that\s+)?(?:[\"“](?P<quoted>[^\"”]+)[\"”]|(?P<plain>[^.,;!?\"“”\n]+))",
    re.I,
)
_QUOTED = re.compile(r"[\"“]([^\"”]+)[\"”]")


def quotes_in(text: str) -> list[tuple[str, str]]:
    """Speaker and words of every quotation: `low says kettle river`, `low said: "kettle river"`, or a bare `"…"`.

    The speaker of a bare one is ''. Quotations without a word are left out.
    """
    spoken = [(plain_name(m["name"]), m["quoted"] or m["plain"]) for m in _SPOKEN.finditer(text)]
    bare = [("", quoted) for quoted in _QUOTED.findall(_SPOKEN.sub(" ", text))]
    return [(speaker, said) for speaker, said in (*spoken, *bare) if words(said)]


def fidelity(quotes: Sequence[tuple[str, str]], turns: Sequence[tuple[str, str]]) -> float:
    """r_fid: the mean over quotations of the best similarity with a turn of the same speaker; 0 without a quotation.

    A quotation of nobody in particular may be of any turn. (HyPeR, arXiv:2604.14806: 1/|S| sum_s max_a phi(s, a))
    """
    best = [
        max((similarity(said, text) for speaker, text in turns if name in ("", speaker)), default=0.0)
        for name, said in quotes
    ]
    return sum(best) / len(best) if best else 0.0


def similarity(one: str, other: str) -> float:
    """phi: 1 - character edits / length of the longer text, in [0, 1]; case and punctuation do not count."""
    one, other = words(one), words(other)
    longer = max(len(one), len(other))
    return 1 - edit_distance(one, other) / longer if longer else 0.0
