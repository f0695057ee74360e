"""Whether the text goes on behind a segment that was heard again. (Echo, arXiv:2602.11909, R_consist)"""

from cogrl.formats.answer import Answer
from cogrl.formats.segments import CLOSED
from cogrl.rewards.term import bounded

_EACH, _LOWEST = 0.1, -0.5


@bounded(_LOWEST, 0.0)
def segment_consistency(answer: Answer) -> float:
    """-0.1 for each `</seg>` behind which the text begins anew, down to -0.5: with an upper-case letter or with a tag.

    White space is passed over, which the paper's code does not do, and the end of the thought is no new beginning. What
    was inserted is no text.
    """
    behind = [part.lstrip() for part in answer.text.split(CLOSED)[1:]]
    restarts = sum(begins_anew(text) for text in behind)
    return max(_LOWEST, -_EACH * restarts)


def begins_anew(text: str) -> bool:
    """Whether what stands behind a segment starts a sentence or another tag."""
    return text[:1].isupper() or (text.startswith("<") and not text.startswith("</think>"))
