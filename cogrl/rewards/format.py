"""Format rewards: whether a completion has the form that its format asks for."""

import re

from cogrl.formats.answer import Answer
from cogrl.rewards.term import bounded

_MARKUP = re.compile(r"[<>\[\]{}|`*#_\n]")


@bounded(0.0, 1.0)
def well_formed(answer: Answer) -> float:
    """1 when the completion parses in its format, else 0; whether what it says is right plays no part."""
    return float(answer.fields is not None)


@bounded(0.0, 1.0)
def format_reward(answer: Answer) -> float:
    """R_fmt: 1 when the completion parses and replies something plain, without markup, else 0.

    For formats whose answer is a spoken reply. (arXiv:2606.06940, Eq. 3)
    """
    return float(answer.fields is not None and bool(answer.said) and not _MARKUP.search(answer.said))
