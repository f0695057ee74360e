"""EPITOME's corpus: posts of people who seek support, responses to them, and how much empathy each response shows.

Source: Sharma et al. 2020 (arXiv:2009.08441), https://github.com/behavioral-data/Empathy-Mental-Health, one CSV for
each mechanism: `dataset/emotional-reactions-reddit.csv` (ER), `interpretations-reddit.csv` (IP),
`explorations-reddit.csv` (EX), 3,084 lines each. Their licence is unclear: ask the authors first. One line:

    sp_id,rp_id,seeker_post,response_post,level,rationales
    5a1,d9h,"I can not sleep any more.","I am so sorry. Since when?",2,"I am so sorry.|"

`level` is 0 (none), 1 (weak) or 2 (strong); `rationales` are the parts of the response that show it, each ended by `|`.
White space in them is often not that of the response, and some are no part of it.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cogrl.data.table import read_table

MECHANISMS = {"ER": "emotional reactions", "IP": "interpretations", "EX": "explorations"}
COLUMNS = ("sp_id", "rp_id", "seeker_post", "response_post", "level", "rationales")


@dataclass(frozen=True)
class Post:
    """One response to one seeker. `spans` are the character ranges of the response that the raters marked.

    `lost` counts the rationales that are no part of the response: which of its words they are is not known.
    """

    seeker_id: str
    seeker: str
    response: str
    level: int
    spans: tuple[tuple[int, int], ...] = ()
    lost: int = 0


def read_posts(path: Path) -> list[Post]:
    """The lines of one CSV. A rationale is found whatever white space lies between its words, else counted as `lost`.

    Raises FileNotFoundError for a missing file, ValueError naming line and column for one in another layout.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; the files are in https://github.com/behavioral-data/Empathy-Mental-Health (dataset/)"
        )
    posts = [_post(row, where) for where, row in read_table(path, COLUMNS)]
    if not posts:
        raise ValueError(f"{path}: holds no lines below its header")
    return posts


def split_by_seeker(posts: Sequence[Post], held_out: float = 0.2, seed: int = 12) -> tuple[list[Post], list[Post]]:
    """Training and held-out posts. All responses to one seeker post are on one side: its words would give them away.

    Raises ValueError when one side would be empty.
    """
    seekers = sorted({post.seeker_id for post in posts})
    random.Random(seed).shuffle(seekers)
    out = set(seekers[: round(held_out * len(seekers))])
    sides = [post for post in posts if post.seeker_id not in out], [post for post in posts if post.seeker_id in out]
    if not all(sides):
        raise ValueError(f"held_out={held_out} of {len(seekers)} seeker posts leaves one side empty")
    return sides


def _post(row: dict[str, str], where: str) -> Post:
    if row["level"] not in ("0", "1", "2"):
        raise ValueError(f"{where}: level must be 0, 1 or 2, got {row['level']!r}")
    if not row["response_post"].strip():
        raise ValueError(f"{where}: response_post is empty")
    response = row["response_post"]
    found = [_found(part.split(), response) for part in row["rationales"].split("|") if part.strip()]
    spans = tuple(match.span() for match in found if match)
    return Post(row["sp_id"], row["seeker_post"], response, int(row["level"]), spans, len(found) - len(spans))


def _found(words: Sequence[str], response: str) -> re.Match[str] | None:
    """Where the words stand one after the other, with any white space between them."""
    return re.search(r"\s+".join(map(re.escape, words)), response)
