"""R_fmt: does the completion have the form its route promises?"""

import re

from cogrl.prompts import parse_eips, reply
from cogrl.types import Example, Route

_MARKUP = re.compile(r"[<>\[\]{}|`*#_\n]")


def format_reward(completion: str, route: Route, example: Example) -> float:
    """1 when well-formed, else 0. (arXiv:2606.06940, Eq. 3)

    Route A: every EIPS tag once, in order, nothing left over. Both routes: one non-empty reply, plain, without markup.
    """
    if route == "A" and parse_eips(completion) is None:
        return 0.0
    answer = reply(completion, route)
    return float(bool(answer) and not _MARKUP.search(answer))
