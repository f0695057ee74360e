"""R_fmt: does the completion have the form its format promises?"""

import re

from cogrl.formats import format_named
from cogrl.types import Example

_MARKUP = re.compile(r"[<>\[\]{}|`*#_\n]")


def format_reward(completion: str, format: str, example: Example) -> float:
    """1 when well-formed, else 0. (arXiv:2606.06940, Eq. 3)

    eips: every EIPS tag once, in order, nothing left over. Both formats: one non-empty reply, plain, without markup.
    """
    if format_named(format).parse(completion) is None:
        return 0.0
    answer = format_named(format).answer(completion, example)
    return float(bool(answer) and not _MARKUP.search(answer))
